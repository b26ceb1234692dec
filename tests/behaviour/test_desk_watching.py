"""The desk's view of the topics: results, alerts and dead letters, and what an operator does about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from schemas import WireFormat
from streams.desk.desk import Desk
from streams.kafka.send import publish
from streams.sandbox.brokers.embedded import EmbeddedBroker
from tests.support.desks import Browser, desk_settings, place, users_file
from tests.support.letters import LetterBox
from tests.support.messages import alert, call, routed


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def test_an_operator_sees_and_does_what_the_topics_call_for(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    box = LetterBox(embedded_broker, tmp_path)
    letters = [box.put(b"\x00\xffnot JSON", b"t-\xff"), box.put(b"<script>{", b"t-2"), box.put(b"[", b"t-3")]
    settings = desk_settings(
        tmp_path, bootstrap=embedded_broker.bootstrap, prefix=box.prefix, users=str(users_file(tmp_path))
    )
    messages = [
        routed("t-1", calls=(call(),)),
        routed("t-2", decided_by="big", calls=(call(), call("big"))),
        routed("t-2", decided_by="big", calls=(call(), call("big"))),
        alert(),
        alert(alert_id="alert-2", source="<b>", kind="endpoint_down", summary="down <script>"),
    ]

    async def watch() -> None:
        await publish(messages, settings.broker.connection, prefix=box.prefix, wire=WireFormat(2))
        desk = Desk(settings)
        following = asyncio.create_task(desk.topics.run())
        async with Browser(desk) as otto, Browser(desk) as lea:
            await otto.log_in("otto")
            await lea.log_in("lea")
            topics = desk.topics
            await until(lambda: len(topics.alerts) == 2 and len(topics.letters.choose()) == 3)
            await until(lambda: sum(sum(counts.values()) for _, counts in topics.results.hour(desk.now_ms())) == 2)
            overview = (await otto.get("/api/overview")).json()
            assert (overview["totals"], overview["open_alerts"], overview["open_letters"]) == (
                {"cheap": 1, "big": 1, "human": 0},
                2,
                3,
            )
            assert abs(overview["cost"]["all_big_usd"] - 2 * 0.000016) < 1e-12
            assert "2</strong> tickets routed" in (await lea.see("/overview")).text

            page = (await otto.see("/alerts")).text
            assert "down &lt;script&gt;" in page
            assert place(await otto.submit("/acknowledge", alert_id="alert-2", note="called them")) == "/alerts"
            assert (await otto.submit("/acknowledge", alert_id="unknown")).status_code == 404
            seen = {each["alert_id"]: each["seen"] for each in (await lea.get("/api/alerts")).json()["alerts"]}
            assert seen["alert-1"] is None
            assert (seen["alert-2"]["by"], seen["alert-2"]["detail"]) == ("otto", "called them")
            assert "acknowledge" not in (await lea.see("/alerts")).text

            listed = (await lea.see("/dead-letters")).text
            assert listed.count('data-testid="dead-letter"') == 3
            assert 'data-testid="redrive"' not in listed
            assert "00 ff 6e 6f 74" in (await lea.see(f"/dead-letters/{letters[0]}")).text
            shown = (await lea.see(f"/dead-letters/{letters[1]}")).text
            assert "&lt;script&gt;{" in shown
            assert (await lea.see("/dead-letters/tickets/0/999")).status_code == 404
            await otto.see("/dead-letters")
            done = await otto.submit("/dead-letters/redrive", letter=[letters[0], letters[1]], note="mended")
            assert "2 redriven" in done.text
            assert done.text.count('data-testid="dead-letter"') == 1
            assert (await otto.submit("/dead-letters/redrive", letter=letters[0])).status_code == 409
            assert "1 discarded" in (await otto.submit("/dead-letters/discard", everything="1")).text
            await until(lambda: not topics.letters.choose())
            closed = (await lea.get("/api/dead-letters?closed=1")).json()["letters"]
            assert {each["letter"]: each["closing"]["by"] for each in closed} == dict.fromkeys(letters, "otto")
            journal = (await lea.get("/api/journal?name=otto")).json()["entries"]
            assert [each["action"] for each in journal] == ["discard", "redrive", "acknowledge", "login"]
            assert "t-2" not in (await lea.see("/journal?action=redrive")).text
        following.cancel()

    box.run(watch())
    assert sorted(record.value for record in box.redriven()) == [b"\x00\xffnot JSON", b"<script>{"]
