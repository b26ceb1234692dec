"""The desk's view of the topics: results, alerts and dead letters, and what an operator does about them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from schemas import WireFormat
from streams.desk.desk import Desk
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.models.probed_endpoint import ProbedEndpoints
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.settings import MemorySettings
from tests.support.desks import Browser, desk_settings, place, users_file
from tests.support.letters import LetterBox
from tests.support.messages import alert, call, example, probe, routed


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


async def test_probes_are_drawn_and_labelled_tickets_forgotten(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    prefix = "desk-memory."
    found = {"name": "cheap", "base_url": "http://127.0.0.1:1/v1", "model": "cheap-model"}
    settings = desk_settings(
        tmp_path, bootstrap=embedded_broker.bootstrap, prefix=prefix, users=str(users_file(tmp_path))
    ).model_copy(update={"memory": MemorySettings(), "endpoints": ProbedEndpoints.model_validate([found])})
    await create_topics(settings.broker.connection, prefix=prefix, partitions=1, replication=1)
    messages = [
        *(probe(probe_id=f"p-{n}", at_ms=1_000 * n, logprobs={"<b>": -0.5 - n / 9, "x": -20.0}) for n in range(9)),
        probe(probe_id="p-9", at_ms=9_000, logprobs=None, error="timeout"),
        alert(at_ms=5_000),
        *(example(f"e-{n}", text=f"parcel {n}") for n in range(3)),
    ]
    await publish(messages, settings.broker.connection, prefix=prefix, wire=WireFormat(2))
    desk = Desk(settings)
    following = asyncio.create_task(desk.topics.run())
    async with Browser(desk) as rita, Browser(desk) as lea:
        await rita.log_in("rita")
        await lea.log_in("lea")
        topics = desk.topics
        await until(lambda: len(topics.memory.examples) == 3 and len(topics.alerts) == 1)
        await until(lambda: "cheap" in topics.probes and len(topics.probes["cheap"]) == 10)
        [drawn] = (await rita.get("/api/overview")).json()["drift"]
        assert (drawn["endpoint"], drawn["probes"], drawn["errors"]) == ("cheap", 10, 1)
        assert drawn["alarms"] == [{"at_ms": 5_000, "kind": "model_changed"}]
        assert [token["token"] for token in drawn["tokens"]] == ["<b>", "x"]
        assert drawn["tokens"][1]["points"][0] == [0, -8.0], "at the foot of the picture"
        page = (await rita.see("/overview")).text
        assert page.count("<polyline") == 2
        assert page.count('class="alarm"') == 1
        assert "&lt;b&gt;" in page

        assert (await rita.submit("/memory/forget", example="e-1")).status_code == 403
        assert place(await lea.submit("/memory/forget", example=["e-1", "e-2", "e-9"], note="private")) == "/memory"
        await until(lambda: [each.example_id for each in topics.memory.examples] == ["e-0"])
        assert (await lea.submit("/memory/forget", example="e-1")).status_code == 404
        [entry] = (await lea.get("/api/journal?action=forget_example")).json()["entries"]
        assert (entry["by"], entry["detail"]) == ("lea", "e-1, e-2: private")
    following.cancel()
