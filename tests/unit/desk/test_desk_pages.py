"""The pages of reviewers: what they show, what their forms do, and who is let in."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas import Review
from streams.desk.access import _WRONG_FOR_BOTH, WINDOW_S
from streams.desk.app import PAGES, keep_running
from streams.desk.desk import Desk
from streams.desk.roles import Role
from streams.desk.users import add_token, remove_user
from streams.errors import TryAgain
from streams.reviews.decision import Decision
from tests.support.desks import PASSWORD, PEOPLE, Browser, desk_settings, doubt, place, users_file

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*70001 }} \x1b[31mred\x1b[0m a\u202egnp.exe \u200b&amp;"
)


class Clock:
    def __init__(self) -> None:
        self.ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Desk:
    return Desk(desk_settings(tmp_path, users=str(users_file(tmp_path))), now_ms=clock)


@pytest.fixture
async def rita(desk: Desk) -> AsyncIterator[Browser]:
    async with Browser(desk) as browser:
        await browser.log_in("rita")
        yield browser


@pytest.fixture
async def rolf(desk: Desk) -> AsyncIterator[Browser]:
    async with Browser(desk) as browser:
        await browser.log_in("rolf")
        yield browser


def rid(ticket_id: str) -> str:
    return Review.id_for(ticket_id)


def rows(page: httpx.Response) -> list[str]:
    return re.findall(r'data-testid="queue-row" data-ticket="([^"]+)"', page.text)


async def test_the_queue_lists_what_waits_and_counts_it(desk: Desk, rita: Browser, clock: Clock) -> None:
    desk.store.add_all([doubt("t-1", 1.0), doubt("t-2", 2.0, slice="vip"), doubt("t-3", 0.5)])
    clock.ms += 120_000
    page = await rita.see("/queue")
    assert rows(page) == ["t-2", "t-1", "t-3"]
    assert '<span data-testid="queue-count">3</span>' in page.text
    assert "2 min old" in page.text
    page = await rita.see("/queue", params={"slice": "vip", "older_min": "", "label": ""})
    assert rows(page) == ["t-2"]
    assert 'href="/tickets/t-2?slice=vip"' in page.text
    first = await rita.see("/queue?limit=2")
    [further] = re.findall(r'rel="next" href="([^"]+)"', first.text)
    assert rows(await rita.see(html.unescape(further))) == ["t-3"]
    assert (await rita.get("/queue?after=made-up")).status_code == 400
    assert (await rita.get("/queue?older_min=x")).status_code == 400


async def test_a_ticket_shows_everything_that_a_reviewer_needs(desk: Desk, rita: Browser) -> None:
    desk.store.add(doubt("t-1", text="I wrote from me@example.org", metadata={"shop": "north"}))
    page = (await rita.see("/tickets/t-1")).text
    assert re.search(r'data-testid="ticket-text"[^>]*>I wrote from \[email\]</div>', page)
    for said in ("north", "The cheap model was not sure enough", "disagrees", "money back", "Confidence 90%"):
        assert said in page
    labels = re.findall(r'data-testid="label-button" data-label="([^"]+)" data-number="(\d)"', page)
    assert labels == [("refund", "1"), ("shipping", "2"), ("account", "3")]
    assert 'data-testid="none-button"' in page
    assert 'data-testid="skip"' in page
    assert re.search(r'data-testid="claimed-by">rita \(you\)', page)
    assert len(page.encode()) < 100_000


async def test_a_hostile_ticket_is_text(desk: Desk, rita: Browser) -> None:
    name = 'x"><script>alert(2)</script>/\u202e'
    desk.store.add(doubt(name, text=HOSTILE, metadata={"<b>": "<script>alert(3)</script>"}, slice="<i>"))
    queue = await rita.see("/queue")
    [href] = re.findall(r'href="(/tickets/[^"]+)"', queue.text)
    ticket = await rita.see(html.unescape(href))
    for page in (queue, ticket):
        assert page.status_code == 200
        assert re.findall(r"<script[^>]*>", page.text) == [f'<script src="{desk_js(page)}" defer>']
        assert not re.search(r"<(img|b|i)[ >]", page.text)
        assert "U+202E" in page.text
        assert "U+001B" in page.text
        assert "\u202e" not in re.sub(r"(data-ticket|value)=\"[^\"]*\"", "", page.text)
        assert "\x1b" not in page.text
        assert "490007" not in page.text
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy


def desk_js(page: httpx.Response) -> str:
    [found] = re.findall(r'<script src="(/static/desk\.js[^"]*)"', page.text)
    return str(found)


async def test_a_click_decides_and_shows_the_next_ticket_and_undo(desk: Desk, rita: Browser, clock: Clock) -> None:
    desk.store.add_all([doubt("t-1", 2.0), doubt("t-2", 1.0)])
    await rita.see("/tickets/t-1")
    done = await rita.submit("/decide", review_id=rid("t-1"), label="refund", note="clear")
    assert place(done) == "/tickets/t-2"
    page = await rita.see(done.headers["location"])
    assert 'data-testid="undo"' in page.text
    assert desk.store.unsent() == []
    back = await rita.submit("/undo", review_id=rid("t-1"))
    assert place(back) == "/tickets/t-1"
    assert 'data-testid="undo"' not in (await rita.see("/queue")).text
    await rita.submit("/decide", review_id=rid("t-1"), none="1")
    clock.ms += 10_000
    assert 'data-testid="undo"' not in (await rita.see("/queue")).text
    assert (await rita.submit("/undo", review_id=rid("t-1"))).status_code == 409
    [decision] = desk.store.unsent()
    assert (decision.verdict.label, decision.verdict.decided_by, decision.routed.decided_by) == (None, "rita", "human")
    assert place(await rita.submit("/decide", review_id=rid("t-2"), label="refund")) == "/queue"


async def test_the_filters_go_with_a_reviewer_through_the_queue(desk: Desk, rita: Browser) -> None:
    desk.store.add_all([doubt("t-1", 3.0, slice="vip"), doubt("t-2", 2.0), doubt("t-3", 1.0, slice="vip")])
    done = await rita.submit("/decide", review_id=rid("t-1"), label="refund", filter="slice=vip&after=zzz&x=//evil")
    assert done.headers["location"] == "/tickets/t-3?slice=vip"


async def test_a_ticket_that_somebody_has_open_is_shown_and_not_decided_by_another(
    desk: Desk, rita: Browser, rolf: Browser, clock: Clock
) -> None:
    desk.store.add_all([doubt("t-1", 2.0), doubt("t-2", 1.0)])
    await rita.see("/tickets/t-1")
    page = await rolf.see("/tickets/t-1")
    assert re.search(r'data-testid="claimed-by">rita until', page.text)
    assert 'data-testid="label-button"' not in page.text
    assert "rita has it open" in (await rolf.see("/queue")).text
    assert (await rolf.submit("/decide", review_id=rid("t-1"), label="refund")).status_code == 409
    assert place(await rolf.see("/next")) == "/tickets/t-2"
    clock.ms += 300_000
    assert place(await rolf.submit("/decide", review_id=rid("t-1"), label="refund")) == "/tickets/t-2"
    late = await rita.submit("/decide", review_id=rid("t-1"), label="shipping")
    assert late.status_code == 409
    assert "&#39;rolf&#39; has already decided" in late.text


async def test_a_ticket_that_is_left_is_free_again(desk: Desk, rita: Browser, rolf: Browser) -> None:
    desk.store.add(doubt("t-1"))

    async def holder() -> str | None:
        held = desk.claims.held([rid("t-1")], desk.now_ms())
        return held[rid("t-1")].name if held else None

    page = await rita.see("/tickets/t-1")
    await rolf.see("/queue")
    assert await holder() == "rita", "another's leaving changes nothing"
    await rita.get("/queue?live=1")
    assert await holder() == "rita", "nor does a list that reads itself again"
    [until] = re.findall(r'data-claim-until="(\d+)"', page.text)
    await rita.submit("/release", review_id=rid("t-1"), until_ms=int(until) - 1)
    assert await holder() == "rita", "nor the end of a page from before this one"
    await rita.submit("/release", review_id=rid("t-1"), until_ms=until)
    assert await holder() is None
    await rita.see("/tickets/t-1")
    await rita.get("/queue")
    assert await holder() is None
    await rita.get("/tickets/t-1", headers={"sec-purpose": "prefetch"})
    assert await holder() is None, "a page that is fetched ahead is not open"


async def test_skip_flag_and_correct(desk: Desk, rita: Browser, rolf: Browser, clock: Clock) -> None:
    desk.store.add_all([doubt("t-1", 2.0), doubt("t-2", 1.0)])
    await rita.see("/tickets/t-1")
    assert place(await rita.submit("/skip", review_id=rid("t-1"))) == "/tickets/t-2"
    assert place(await rolf.see("/next")) == "/tickets/t-1"
    await rolf.submit("/flag", review_id=rid("t-1"), note="legal?")
    assert "flagged by rolf: legal?" in (await rolf.see("/tickets/t-1")).text
    assert rows(await rolf.see("/queue?flagged=1")) == ["t-1"]
    assert (await rolf.submit("/unflag", review_id=rid("t-1"))).status_code == 403
    await rolf.submit("/decide", review_id=rid("t-1"), label="refund")
    assert (await rolf.submit("/flag", review_id=rid("t-1"))).status_code == 409
    assert (await rolf.submit("/correct", review_id=rid("t-1"), label="account")).status_code == 409, "not sent yet"
    clock.ms += 10_000
    desk.store.take_due()
    for decision in desk.store.unsent():
        desk.store.mark_sent(decision.verdict.review_id)
    assert (await rita.submit("/correct", review_id=rid("t-1"), label="account")).status_code == 403
    assert "Correct this decision" in (await rolf.see("/tickets/t-1")).text
    assert place(await rolf.submit("/correct", review_id=rid("t-1"), label="account")) == "/tickets/t-1"
    [correction] = desk.store.unsent()
    assert (correction.verdict.label, correction.verdict.decision) == ("account", 2)
    history = (await rolf.see("/tickets/t-1")).text
    assert re.search(r"rolf: decide refund", history)
    assert re.search(r"rolf: correct account", history)


async def test_what_somebody_else_took_meanwhile_is_left_out_of_a_bulk(
    desk: Desk, rita: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.add_all([doubt("t-1", 3.0, text="same"), doubt("t-2", 2.0, text="same"), doubt("t-3", 1.0, text="same")])
    await rita.see("/tickets/t-1")
    decide = desk.store.decide

    def faster(review_id: str, *rest: Any, **options: Any) -> Decision:
        if review_id == rid("t-2"):
            decide(review_id, "account", "rolf", "", desk.now_ms())
        return decide(review_id, *rest, **options)

    monkeypatch.setattr(desk.store, "decide", faster)
    body = {"review_id": rid("t-1"), "label": "refund", "also": [rid("t-2"), rid("t-3")]}
    done = await rita.post("/api/decide", json=body, headers={"x-csrf-token": rita.token})
    assert (done.status_code, done.json()["also"], done.json()["left"]) == (200, 1, ["t-2"])
    decided = {item.review.ticket_id: item.decision.verdict for item in desk.store.each() if item.decision is not None}
    assert {name: (each.decided_by, each.label) for name, each in decided.items()} == {
        "t-1": ("rita", "refund"),
        "t-2": ("rolf", "account"),
        "t-3": ("rita", "refund"),
    }


async def test_the_end_of_the_queue_leads_back_to_its_beginning(desk: Desk, rita: Browser) -> None:
    desk.store.add_all([doubt("t-1", 2.0, slice="vip"), doubt("t-2", 1.0, slice="vip")])
    first = await rita.see("/queue?slice=vip&limit=1")
    [further] = re.findall(r'rel="next" href="([^"]+)"', first.text)
    desk.store.decide(rid("t-2"), "refund", "rolf", "", desk.now_ms())
    end = await rita.see(html.unescape(further))
    assert rows(end) == []
    assert 'Nothing more waits here. <a href="/queue?slice=vip">' in end.text


async def test_a_filter_by_a_label_that_there_is_no_more_stays_chosen(desk: Desk, rita: Browser) -> None:
    page = await rita.see("/queue?label=gone")
    assert '<option value="gone" selected>gone</option>' in page.text


async def test_odd_ids_have_a_page_each(desk: Desk, rita: Browser) -> None:
    odd = ["a/b", "..", ".", "a b?c#d%2F", "Ünïcode", "next", "<b>", "x" * 256]
    desk.store.add_all(doubt(each) for each in odd)
    hrefs = re.findall(r'href="(/tickets/[^"]+)"', (await rita.see("/queue")).text)
    assert len(hrefs) == len(odd)
    seen = [(await rita.get(f"/api{html.unescape(href)}")).json()["ticket_id"] for href in hrefs]
    assert sorted(seen) == sorted(odd)
    assert (await rita.see("/tickets/unknown")).status_code == 404
    async with Browser(desk) as browser:
        for href in map(html.unescape, hrefs):
            sent = await browser.see((await browser.get(href)).headers["location"])
            assert f'name="next" value="{href}"' in sent.text, "a login leads back to it"


# Who is let in.


async def test_a_login_is_needed_and_leads_back(desk: Desk) -> None:
    desk.store.add(doubt("t-1"))
    async with Browser(desk) as browser:
        sent = await browser.get("/tickets/t-1?slice=x")
        assert sent.headers["location"] == "/login?next=%2Ftickets%2Ft-1%3Fslice%3Dx"
        page = await browser.see(sent.headers["location"])
        for hook in ("login-name", "login-password", "login-submit"):
            assert f'data-testid="{hook}"' in page.text
        wrong = await browser.submit("/login", name="rita", password="wrong")
        assert wrong.status_code == 401
        assert "Wrong name or password" in wrong.text
        done = await browser.submit("/login", name="rita", password=PASSWORD, next="/tickets/t-1?slice=x")
        assert done.headers["location"] == "/tickets/t-1?slice=x"
        [cookie] = [each for each in done.headers.get_list("set-cookie") if each.startswith("hedgerow_desk=")]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        await browser.see("/queue")
        assert place(await browser.submit("/logout")) == "/login"
        assert place(await browser.get("/queue")) == "/login"


@pytest.mark.parametrize(
    "to", ["//evil.example", "https://evil.example", "/\\evil", "javascript:alert(1)", "/a\r\nx: y"]
)
async def test_a_login_leads_nowhere_else(desk: Desk, to: str) -> None:
    async with Browser(desk) as browser:
        await browser.see("/login")
        done = await browser.submit("/login", name="rita", password=PASSWORD, next=to)
        assert done.headers["location"] == "/queue"


async def test_secure_cookies_belong_to_one_host_by_https(desk: Desk) -> None:
    async with Browser(desk, secure=True) as browser:
        done = await browser.log_in("rita")
        [cookie] = [each for each in done.headers.get_list("set-cookie") if each.startswith("__Host-hedgerow=")]
        assert "Secure" in cookie
        assert "strict-transport-security" in done.headers


async def test_wrong_passwords_close_the_login_for_some_time(desk: Desk, clock: Clock) -> None:
    async with Browser(desk) as browser, Browser(desk, peer="127.0.0.2") as elsewhere:
        await browser.see("/login")
        for _ in range(_WRONG_FOR_BOTH):
            assert (await browser.submit("/login", name="rita", password="wrong")).status_code == 401
        closed = await browser.submit("/login", name="rita", password=PASSWORD)
        assert (closed.status_code, closed.headers["retry-after"]) == (429, str(WINDOW_S))
        assert place(await elsewhere.log_in("rita")) == "/queue", "rita herself comes from another address"
        clock.ms += WINDOW_S * 1000 + 1
        assert place(await browser.submit("/login", name="rita", password=PASSWORD)) == "/queue"


async def test_a_session_ends_and_so_does_that_of_a_user_who_was_taken_out(
    desk: Desk, rita: Browser, rolf: Browser, clock: Clock, tmp_path: Path
) -> None:
    remove_user(tmp_path / "users.yaml", "rolf")
    assert (await rita.get("/queue")).status_code == 200
    assert place(await rolf.get("/queue")) == "/login"
    clock.ms += 12 * 3_600_000
    assert place(await rita.get("/queue")) == "/login"


async def test_a_session_that_ends_before_a_decision_leads_back_to_its_ticket(
    desk: Desk, rita: Browser, clock: Clock
) -> None:
    desk.store.add(doubt("t-1"))
    await rita.see("/tickets/t-1")
    clock.ms += 12 * 3_600_000
    fields, at = {"review_id": rid("t-1"), "label": "refund"}, "http://127.0.0.1/tickets/t-1?slice=x"
    sent = await rita.post("/decide", data={"csrf": rita.token} | fields, headers={"referer": at})
    assert sent.headers["location"] == "/login?next=%2Ftickets%2Ft-1%3Fslice%3Dx"
    assert desk.store.counts().waiting == 1


async def test_who_has_logged_in_is_in_the_store(desk: Desk, rita: Browser, clock: Clock) -> None:
    clock.ms += 5
    async with Browser(desk) as browser, Browser(desk) as lea:
        await browser.log_in("rita")
        await browser.log_in("rolf", "wrong")
        await lea.log_in("lea")
        users = (await lea.get("/api/users")).json()["users"]
        assert {each["name"]: (each["role"], each["last_ms"] - each["first_ms"]) for each in users} == {
            "rita": ("reviewer", 5),
            "lea": ("lead", 0),
        }
        assert (await lea.see("/users")).text.count('data-testid="user"') == 2


@pytest.mark.parametrize("name", [*PEOPLE, None])
async def test_every_route_asks_for_its_role(desk: Desk, name: str | None) -> None:
    """Each page of the table, as HTML and as JSON, for every role and for nobody."""
    async with Browser(desk) as browser:
        if name is not None:
            await browser.log_in(name)
        for page in PAGES:
            path = page.path.replace("{ticket_id:path}", "t-1").replace("{letter:path}", "l")
            if page.method == "GET":
                html_status = (await browser.get(path)).status_code
                json_status = (await browser.get(f"/api{path}")).status_code if page.json else None
            else:
                html_status = (await browser.submit(path)).status_code
                headers = {"x-csrf-token": browser.token}
                json_status = (await browser.post(f"/api{path}", json={}, headers=headers)).status_code
            if name is None:
                assert (html_status, json_status) in {(303, 401), (303, None)}, page
            elif PEOPLE[name].may(page.role):
                assert html_status not in {401, 403, 500}, page
                assert json_status not in {401, 403, 500}, page
            else:
                assert (html_status, json_status) in {(403, 403), (403, None)}, page


async def test_every_form_needs_its_token(desk: Desk, rita: Browser) -> None:
    desk.store.add(doubt("t-1"))
    fields = {"review_id": rid("t-1"), "label": "refund", "until_ms": "1"}
    posts = [page for page in PAGES if page.method == "POST"]
    assert posts
    async with Browser(desk) as browser:
        await browser.log_in("otto")
        for page in posts:
            for token in ({}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": rita.token}):
                assert (await browser.post(page.path, data=fields | token)).status_code == 403, page
            assert (await browser.post(f"/api{page.path}", json=fields)).status_code == 403
            other_site = {"sec-fetch-site": "cross-site"}
            data = fields | {"csrf": browser.token}
            assert (await browser.post(page.path, data=data, headers=other_site)).status_code == 403
        assert (await browser.post("/logout", data={})).status_code == 403
    assert desk.store.counts().waiting == 1
    async with Browser(desk) as browser:
        await browser.get("/login")
        assert (await browser.post("/login", data={"name": "rita", "password": PASSWORD})).status_code == 403


async def test_what_no_database_can_hold_is_refused(desk: Desk) -> None:
    async with Browser(desk) as browser:
        await browser.log_in("lea")
        assert (await browser.get("/journal?action=%00")).status_code == 400
        assert (await browser.get("/journal?action=decide&name=%00")).status_code == 200
        for until in ("-1", str(2**63), "x"):
            assert (await browser.submit("/release", review_id="x", until_ms=until)).status_code == 400


async def test_a_tool_uses_its_token(desk: Desk, tmp_path: Path) -> None:
    desk.store.add(doubt("t-1"))
    token = add_token(tmp_path / "users.yaml", "bot", Role.REVIEWER)
    async with Browser(desk) as browser:
        assert (await browser.get("/api/queue", headers={"authorization": "Bearer wrong"})).status_code == 401
        browser.headers["authorization"] = f"Bearer {token}"
        queue = (await browser.get("/api/queue")).json()
        assert [row["ticket_id"] for row in queue["rows"]] == ["t-1"]
        decided = await browser.post("/api/decide", json={"review_id": rid("t-1"), "label": "refund"})
        assert decided.json()["label"] == "refund"
        assert (await browser.post("/api/decide", json={"review_id": rid("t-1"), "label": "nope"})).status_code == 409
        assert (await browser.post("/api/decide", content=b"[1]")).status_code == 400
        assert (await browser.post("/api/decide", content=b"\xff")).status_code == 400
        described = (await browser.get("/api/openapi.json")).json()
    assert described["openapi"].startswith("3.1")
    assert {(page.method.lower(), f"/api{page.path}".replace(":path", "")) for page in PAGES if page.json} == {
        (method, path) for path, methods in described["paths"].items() for method in methods
    }


async def test_a_proxy_is_believed_at_its_address_only(tmp_path: Path) -> None:
    settings = desk_settings(tmp_path, users=str(users_file(tmp_path)), trusted_proxies=["10.0.0.0/8"])
    desk = Desk(settings)
    named = {"x-forwarded-user": "lea"}
    async with Browser(desk, peer="10.1.2.3") as proxy, Browser(desk, peer="192.0.2.1") as stranger:
        page = await proxy.see("/queue", headers=named)
        assert "lea" in page.text
        assert place(await stranger.get("/queue", headers=named)) == "/login"
        assert place(await proxy.get("/queue", headers={"x-forwarded-user": "nobody"})) == "/login"
        assert place(await proxy.get("/queue")) == "/login", "the cookie of a proxy's user is no login"
        assert (await proxy.submit("/unflag", review_id="x")).status_code in {303, 404}
        done = await proxy.post("/unflag", data={"csrf": proxy.token, "review_id": "x"}, headers=named)
        assert done.status_code == 404


async def test_without_a_login_everybody_on_this_machine_is_the_same_person(tmp_path: Path) -> None:
    desk = Desk(desk_settings(tmp_path), local="me")
    desk.store.add(doubt("t-1"))
    async with Browser(desk, hosts=("127.0.0.1", "localhost")) as browser:
        assert "me" in (await browser.see("/tickets/t-1")).text
        assert place(await browser.submit("/decide", review_id=rid("t-1"), label="refund")) == "/queue"
        assert (await browser.post("/decide", data={"review_id": rid("t-1")})).status_code == 403
        rebound = await browser.get("/queue", headers={"host": "evil.example:8080"})
        assert rebound.status_code == 421


# What goes wrong.


async def test_a_store_that_does_not_answer_is_told_and_changes_nothing(
    desk: Desk, rita: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.store.add(doubt("t-1"))

    def away(*_: object, **__: object) -> None:
        raise TryAgain("the store is locked")

    monkeypatch.setattr(desk.store, "decide", away)
    page = await rita.submit("/decide", review_id=rid("t-1"), label="refund")
    assert page.status_code == 503
    assert "try again" in page.text
    assert (await rita.get("/health")).json() == {"ok": True, "store": "answers", "broker": "answers"}


async def test_bodies_are_bounded(rita: Browser) -> None:
    assert (await rita.post("/decide", content=b"x" * 300_000)).status_code == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 10_000

    form = {"content-type": "application/x-www-form-urlencoded"}
    assert (await rita.post("/decide", content=endless(), headers=form)).status_code == 413


async def test_static_files_are_ours_alone(rita: Browser) -> None:
    for name in ("desk.js", "desk.css", "icon.svg"):
        file = await rita.get(f"/static/{name}")
        assert (file.status_code, file.headers["cache-control"]) == (200, "no-store")
    page = await rita.see("/queue")
    for address in (desk_js(page), *re.findall(r'href="(/static/[^"]+)"', page.text)):
        assert "immutable" in (await rita.get(address)).headers["cache-control"]
        assert (await rita.get(f"{address}0")).headers["cache-control"] == "no-store", "another release's"
    assert (await rita.get("/static/../app.py")).status_code == 404
    assert (await rita.get("/static/%2e%2e/app.py")).status_code == 404


async def test_a_part_of_the_desk_that_fails_is_started_again() -> None:
    runs = 0

    async def part() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            raise KeyError("a defect")
        await asyncio.Event().wait()

    task = asyncio.create_task(keep_running(part, 0.0))
    async with asyncio.timeout(30):
        while runs < 3:
            await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
