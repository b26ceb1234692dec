"""Mutated requests at every route: no page fails, and nothing done without right."""

from __future__ import annotations

import os
import random
from pathlib import Path
from urllib.parse import quote

import pytest

from schemas import Review
from streams.desk.app import PAGES
from streams.desk.desk import Desk
from tests.support.desks import Browser, desk_settings, doubt, users_file

#: HEDGEROW_FUZZ=10000 sends that many.
REQUESTS = int(os.environ.get("HEDGEROW_FUZZ", "400"))
ODD = [
    *(
        "",
        "0",
        "-1",
        "1e308",
        "NaN",
        "null",
        "true",
        "[]",
        "{}",
        "\x00",
        "\ud7ff",
        "\ufffe",
        "%00",
        "%ff",
        "../..",
        "//x",
    ),
    *("a" * 300, "9" * 40, "' OR 1=1 --", '"', "<script>", "{{7*7}}", "t-1", "\u202e", "🌿", "é", "=&=", "\r\nx: y"),
]
PATHS = [page.path for page in PAGES]
PUBLIC = [
    "/",
    "/login",
    "/logout",
    "/events?x",
    "/health",
    "/static/desk.js",
    "/static/../x",
    "/api/openapi.json",
    "/x",
]


def mutated(random: random.Random, token: str) -> tuple[str, str, dict[str, object]]:
    """A method, a path and the options of one request."""
    path = random.choice([*PATHS, *PATHS, *PUBLIC])
    for name in ("{ticket_id:path}", "{letter:path}"):
        path = path.replace(name, quote(random.choice(ODD), safe="/") or "t-1")
    if random.random() < 0.5:
        path = f"/api{path}"
    names = sorted({name for page in PAGES for name in page.fields.model_fields})
    values = {random.choice(names): random.choice(ODD) for _ in range(random.randrange(5))}
    values |= {"review_id": Review.id_for("t-1")} if random.random() < 0.5 else {}
    headers = {
        random.choice(["cookie", "authorization", "content-type", "sec-fetch-site", "x-forwarded-for", "host", "accept"]):
            random.choice(ODD).encode("utf-8", "replace").replace(b"\r\n", b"").replace(b"\0", b"")
        for _ in range(random.randrange(2))
    }  # fmt: skip
    options: dict[str, object] = {"headers": headers}
    method = random.choice(["GET", "POST", "POST", "HEAD", "PUT", "DELETE"])
    kind = random.randrange(4)
    if method == "POST" and kind == 0:
        options["json"] = random.choice([values, [values], "x", None, {**values, "label": {"a": [1]}, "letter": "x"}])
        options["headers"] = {**headers, "x-csrf-token": token}
    elif method == "POST" and kind == 1:
        options["content"] = random.randbytes(random.randrange(200))
    elif method == "POST":
        options["data"] = values | ({"csrf": token} if random.random() < 0.7 else {"csrf": [token, "x"]})
    else:
        options["params"] = values
    return method, path, options


@pytest.mark.timeout(180 + REQUESTS // 4)
async def test_no_request_breaks_a_page_or_does_what_its_sender_may_not(tmp_path: Path) -> None:
    desk = Desk(desk_settings(tmp_path, users=str(users_file(tmp_path))))
    desk.store.add_all(doubt(ticket_id) for ticket_id in ("t-1", "t-2", "a/b", "\x00"))
    chance = random.Random(7)
    async with Browser(desk) as nobody, Browser(desk) as rita:
        await rita.log_in("rita")
        for number in range(REQUESTS):
            browser = nobody if number % 4 == 0 else rita
            method, path, options = mutated(chance, rita.token)
            if path.endswith("/events?x") and method == "GET" and browser is rita:
                continue  # it has no end
            answer = await browser.request(method, path, **options)  # type: ignore[arg-type]
            assert answer.status_code < 500 or answer.status_code == 503, (method, path, options, answer.text)
            if "set-cookie" in answer.headers:
                assert "hedgerow_desk=" not in answer.headers["set-cookie"] or answer.status_code == 303
    decided = [item for item in desk.store.each() if item.decision is not None]
    assert {item.decision.verdict.decided_by for item in decided if item.decision} <= {"rita"}
    assert {each.name for each in desk.journal.latest(1000) if each.action == "decide"} <= {"rita"}
    desk.store.close()
