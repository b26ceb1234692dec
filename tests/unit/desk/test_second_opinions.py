"""Second opinions are blind until they are given; equal texts are decided together, and undone together."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas import Review
from streams.desk.desk import Desk
from tests.support.commands import Hedgerow
from tests.support.desks import Browser, desk_settings, doubt, place, users_file, written
from tests.support.memories import Letters

LEADING = ("shipping", "low_confidence", "not sure enough", "nats", "cheap-model", "1.37", "90%", "secret note", "rita")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(desk_settings(tmp_path, users=str(users_file(tmp_path))))


@pytest.fixture
async def people(desk: Desk) -> AsyncIterator[dict[str, Browser]]:
    async with Browser(desk) as rita, Browser(desk) as rolf, Browser(desk) as lea:
        for name, browser in (("rita", rita), ("rolf", rolf), ("lea", lea)):
            await browser.log_in(name)
        yield {"rita": rita, "rolf": rolf, "lea": lea}


def rid(ticket_id: str) -> str:
    return Review.id_for(ticket_id)


def leads(text: str) -> list[str]:
    """Return what of a page could lead a second reviewer; the labels themselves are for choosing."""
    main = text.partition("<main")[2] or text
    main = re.sub(
        r'<button name="(label|none)".*?</button>|<datalist.*?</datalist>|<option.*?</option>',
        "",
        main,
        flags=re.DOTALL,
    )
    main = re.sub(r'"labels": ?\[.*?\]', "", main.replace('"labels":[', '"labels": ['))
    return [word for word in LEADING if word in main]


async def test_a_second_opinion_is_blind_and_a_disagreement_goes_to_the_lead(
    desk: Desk, people: dict[str, Browser], hedgerow: Hedgerow, tmp_path: Path
) -> None:
    rita, rolf, lea = people["rita"], people["rolf"], people["lea"]
    desk.store.add(doubt("t-1", 1.37))
    assert leads((await rolf.see("/tickets/t-1")).text), "what a page shows otherwise"
    desk.claims.release_all("rolf")
    await rita.submit("/decide", review_id=rid("t-1"), label="refund", note="secret note")
    assert (await rolf.submit("/ask", review_id=rid("t-1"))).status_code == 403
    assert place(await lea.submit("/ask", review_id=rid("t-1"))) == "/tickets/t-1"
    assert (await lea.submit("/ask", review_id=rid("t-1"))).status_code == 409
    for browser in (rolf, lea):
        for path in ("/tickets/t-1", "/api/tickets/t-1", "/opinions", "/api/opinions"):
            page = await browser.get(path)
            assert page.status_code == 200
            assert leads(page.text) == [], (path, page.text)
    journal = (await lea.get("/api/journal?action=decide")).json()["entries"]
    assert (journal[0]["label"], journal[0]["detail"]) == (None, "")
    assert "Which label, in your opinion?" not in (await rita.see("/tickets/t-1")).text
    assert (await rita.submit("/opinion", review_id=rid("t-1"), label="refund")).status_code == 409
    assert "Second opinions to give: 1" in (await rolf.see("/queue")).text
    assert place(await rolf.submit("/opinion", review_id=rid("t-1"), label="account", note="hm")) == "/opinions"
    assert (await lea.submit("/opinion", review_id=rid("t-1"), label="account")).status_code == 409
    shown = (await lea.see("/tickets/t-1")).text
    assert "Second opinion of rolf" in shown
    assert leads(shown)
    assert 'data-testid="opinion-row"' in (await lea.see("/opinions")).text
    assert 'data-testid="opinion-row"' not in (await rolf.see("/opinions")).text
    assert desk.opinions.agreement().given == 1
    assert place(await lea.submit("/uphold", review_id=rid("t-1"))) == "/opinions"
    assert (await lea.submit("/uphold", review_id=rid("t-1"))).status_code == 409
    assert desk.opinions.disagreed() == []
    actions = [entry.action for entry in desk.journal.of_review(rid("t-1"))]
    assert actions == ["open", "decide", "ask", "opinion", "uphold"]


async def test_a_ticket_that_waits_can_be_decided_blind_by_both(desk: Desk, people: dict[str, Browser]) -> None:
    rita, rolf, lea = people["rita"], people["rolf"], people["lea"]
    desk.store.add_all([doubt("t-1", 1.37, text="same"), doubt("t-2", text="same")])
    await lea.submit("/ask", review_id=rid("t-1"))
    for path in ("/queue", "/api/queue", "/tickets/t-1", "/api/tickets/t-1"):
        page = (await rita.get(path)).text
        only = page if "tickets" in path else page.partition("t-2")[0]
        assert "1.37" not in only, path
        assert "low_confidence" not in re.sub(r"<datalist.*?</datalist>", "", only, flags=re.DOTALL), path
    found = (await rita.get("/api/queue?label=shipping")).json()["rows"]
    assert [row["ticket_id"] for row in found] == ["t-2"], "a filter would tell the suggestion"
    assert (await rita.get("/api/tickets/t-2")).json()["like"] == []
    refused = await rita.submit("/decide", review_id=rid("t-2"), label="refund", also=rid("t-1"))
    assert refused.status_code == 409, "never in a bulk"
    await rita.submit("/decide", review_id=rid("t-1"), label="refund")
    assert (await rolf.get("/api/tickets/t-1")).json()["decision"] is None
    await rolf.submit("/opinion", review_id=rid("t-1"), label="refund")
    assert desk.opinions.of([rid("t-1")])[rid("t-1")].state == "agreed"
    assert (desk.opinions.agreement().given, desk.opinions.agreement().agreed) == (1, 1)


def test_the_command_line_is_blind_too(hedgerow: Hedgerow, tmp_path: Path) -> None:
    settings = desk_settings(tmp_path)
    desk = Desk(settings, local="me")
    config = written(tmp_path, settings)
    desk.store.add_all([doubt("t-1", 1.37), doubt("t-2")])
    item = desk.store.get("t-1")
    assert item is not None
    desk.opinions.ask(item, "lea", 5)
    rows = {row["ticket_id"]: row for row in hedgerow("review", "list", "--json", "-c", config).rows}
    assert rows["t-1"].keys() == {"ticket_id", "review_id", "text", "second_opinion"}
    assert rows["t-2"]["suggested"] == "shipping"
    for said in (
        hedgerow("review", "show", "t-1", "-c", config).out,
        hedgerow("review", "show", "t-1", "--json", "-c", config).out,
        next(line for line in hedgerow("review", "list", "-c", config).out.splitlines() if "t-1" in line),
    ):
        assert [word for word in LEADING if word in said] == []
    assert json.loads(hedgerow("review", "show", "t-2", "--json", "-c", config).out)["review"]
    desk.store.close()


async def test_equal_texts_are_decided_and_undone_together(desk: Desk, people: dict[str, Browser]) -> None:
    rita, rolf = people["rita"], people["rolf"]
    desk.store.add_all([doubt(f"t-{n}", 3.0 - n / 10, text="same") for n in range(4)] + [doubt("other")])
    await rolf.see("/tickets/t-3")
    page = await rita.see("/tickets/t-0")
    assert re.findall(r'name="also" value="(\w+)"', page.text) == [rid("t-1"), rid("t-2")], "not what rolf has open"
    for wrong in ("other", "t-3", "unknown"):
        refused = await rita.submit("/decide", review_id=rid("t-0"), label="refund", also=[rid("t-1"), rid(wrong)])
        assert refused.status_code == 409
    assert desk.store.counts().waiting == 5
    done = await rita.submit("/decide", review_id=rid("t-0"), label="refund", also=[rid("t-1"), rid("t-2")])
    assert place(done) == "/tickets/other"
    assert desk.store.counts().waiting == 2
    await rita.submit("/undo", review_id=rid("t-0"))
    assert desk.store.counts().waiting == 5


async def test_nearly_equal_texts_are_decided_together_after_a_look_at_them(tmp_path: Path) -> None:
    desk = Desk(desk_settings(tmp_path, users=str(users_file(tmp_path)), near_similarity=0.95))
    texts = ("Where is my <b>parcel</b>?", "where is my <b>parcel</b>??", "refund", "Where is my <b>parcel</b>?")
    desk.store.add_all(doubt(f"t-{number}", 9.0 - number, text=text) for number, text in enumerate(texts))
    await desk.nearness.follow(Letters())
    async with Browser(desk) as rita, Browser(desk) as rolf:
        await rita.log_in("rita")
        await rolf.log_in("rolf")
        like = (await rita.get("/api/tickets/t-0")).json()["like"]
        assert [(each["ticket_id"], each["similarity"] is None) for each in like] == [("t-3", True), ("t-1", False)]
        assert 0.95 <= like[1]["similarity"] < 1
        page = (await rita.see("/tickets/t-0")).text
        assert "where is my &lt;b&gt;parcel&lt;/b&gt;??" in page
        # Somebody has opened one of them since.
        await rolf.get("/tickets/t-1")
        refused = await rita.submit("/decide", review_id=rid("t-0"), label="shipping", also=[rid("t-3"), rid("t-1")])
        assert refused.status_code == 409
        await rolf.submit("/skip", review_id=rid("t-1"))
        other = await rita.submit("/decide", review_id=rid("t-0"), label="shipping", also=[rid("t-2")])
        assert other.status_code == 409, "it says something else"
        assert desk.store.counts().waiting == 4
        done = await rita.submit("/decide", review_id=rid("t-0"), label="shipping", also=[rid("t-3"), rid("t-1")])
        assert place(done) == "/tickets/t-2"
        assert desk.store.counts().waiting == 1
    embedder = Letters()
    await desk.nearness.follow(embedder)
    assert embedder.embedded == [], "each text is embedded once"
    assert desk.nearness.near(rid("t-0"), 0.0, 9) == {}, "what waits no more is forgotten"
