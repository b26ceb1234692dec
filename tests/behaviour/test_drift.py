"""From probes to alerts and to a stale policy, on the embedded broker and on Apache Kafka."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import yaml

from schemas import Alert, Classification, DeadLetter, Message, Probe, Routed, Ticket
from streams.agents import drift_memory
from streams.agents.drift import DriftHandler
from streams.agents.drift_memory import Place, Placed, State
from streams.core.drift.alert_kinds import WatchKind
from streams.core.drift.series import DriftLimits
from streams.core.drift.traffic import TrafficLimits
from streams.kafka.readers import decode, reader
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from streams.sandbox.simulated_probes import Endpoint
from streams.worker.drift_states import DriftStates
from tests.support.messages import alert, classification, scored
from tests.support.pipelines import raw_producer
from tests.support.probes import probes
from tests.support.watchers import PARTITIONS, Watched, seen, until, watched

FLEET = [
    *probes(Endpoint(change_at=120, change_rms=1.0), 240, seed=1, name="jumps"),
    *probes(Endpoint(change_at=150, change_rms=0.5, errors=0.05, missing=0.05), 240, seed=2, name="jumps late"),
    *probes(Endpoint(k_at=125), 240, seed=3, name="shrinks"),
    *probes(Endpoint(rho=0.8), 240, seed=4, name="quiet"),
    *probes(Endpoint(change_at=110, change_rms=2.0), 240, seed=5, name="jumps early"),
]
FLEET.sort(key=lambda probe: (probe.at_ms, probe.endpoint))


async def nothing(*_: object) -> AsyncIterator[Placed]:
    for placed in ():
        yield placed


def expected(given: Sequence[Probe], policy_id: str) -> dict[str, Message]:
    """Alert id to alert, by the handler alone."""
    handle = DriftHandler(["lt-ref"], policy_id, nothing)
    return {output.alert_id: output for probe in given for output in handle(probe)}


def by_id(alerts: Sequence[Alert]) -> dict[str, Message]:
    return {each.alert_id: each for each in alerts}


@pytest.fixture
async def models(model_server: ModelServer) -> AsyncIterator[ModelServer]:
    yield model_server
    await model_server.set_faults([])


async def test_a_model_that_changes_is_noticed_and_its_answers_are_escalated_until_somebody_looks(
    broker: Broker, models: ModelServer, tmp_path: Path
) -> None:
    async with watched(broker, models, tmp_path) as hedgerow:
        async with (
            hedgerow.prober() as sent,
            hedgerow.worker("classify", "score", "escalate", "drift") as worker,
        ):
            assert await stale_tickets(hedgerow, "before") == 0
            await until(lambda: seen(worker, "sample") >= 120)
            await models.set_faults(["cheap:drift=1@0.1"])
            changed_at = sent[-1].at_ms
            (found, *_) = await hedgerow.until_alerts(bool)
            assert (found.source, found.kind) == ("cheap", WatchKind.MODEL_CHANGED)
            assert found.at_ms >= changed_at
            assert found.details["model_asked"] == hedgerow.settings.tiers.cheap.model
            assert len(found.details["moved"]) == 5
            assert found.details["baseline"]["probes"] >= 100
            late = [probe for probe in sent if changed_at < probe.at_ms <= found.at_ms]
            assert len(late) <= 24
            stale = ("hedgerow_policy_stale", {"tier": "cheap"})
            registry = worker.observer.registry
            await until(lambda: registry.get_sample_value(*stale) == 1)
            assert await stale_tickets(hedgerow, "stale") == 10
        # A worker that starts now knows it before its first ticket.
        async with hedgerow.worker("classify", "score", "escalate") as worker:
            registry = worker.observer.registry
            assert registry.get_sample_value(*stale) == 1
            assert await stale_tickets(hedgerow, "still") == 10
            await hedgerow.send([alert(alert_id="ack", source="cheap", kind=WatchKind.ACKNOWLEDGED)])
            await until(lambda: registry.get_sample_value(*stale) == 0)
            assert await stale_tickets(hedgerow, "again") == 0


async def stale_tickets(hedgerow: Watched, name: str) -> int:
    """Send ten tickets that are easy to label, and return how many say that the policy is stale when they end."""
    texts = ("I want my money back for this order.", "Where is my parcel? It has not arrived.")
    tickets = [
        Ticket(ticket_id=f"{name}-{number}", text=text)
        for number, text in zip(range(10), itertools.cycle(texts), strict=False)
    ]
    await hedgerow.send(tickets)
    wanted, prefix = {ticket.ticket_id for ticket in tickets}, hedgerow.settings.topics.prefix
    ends: dict[str, Sequence[str]] = {}
    async with (
        asyncio.timeout(60),
        reader(["routed", "reviews"], hedgerow.settings.broker.connection, prefix=prefix) as consumer,
    ):
        while ends.keys() != wanted:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    end = decode(record, prefix)
                    if end is not None and end.ticket_id in wanted:  # type: ignore[attr-defined]
                        ends[end.ticket_id] = end.reasons  # type: ignore[attr-defined]
                        if isinstance(end, Routed) and end.decided_by == "cheap":
                            assert "cheap:policy_stale" not in end.reasons
    return sum("cheap:policy_stale" in reasons for reasons in ends.values())


async def test_the_same_alarms_with_as_without_restarts_and_rebalances_in_the_middle_of_windows(
    broker: Broker, models: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes on from a kept state and what came since.

    Probes whose commit a busy machine was too slow for come again: they are counted, and may be told, twice.
    """
    monkeypatch.setattr(drift_memory, "KEPT_EVERY", 50)
    limits, loaded = DriftLimits(state_dir=str(tmp_path / "states")), note_loads(monkeypatch)
    async with watched(broker, models, tmp_path, drift=limits) as hedgerow:
        wanted = expected(FLEET, hedgerow.settings.policy.id)
        assert {(each.source, each.kind) for each in wanted.values()} == {  # type: ignore[attr-defined]
            ("jumps", "model_changed"),
            ("jumps late", "model_changed"),
            ("jumps early", "model_changed"),
            ("shrinks", "k_changed"),
        }
        parts = [FLEET[start : start + len(FLEET) // 5] for start in range(0, len(FLEET), len(FLEET) // 5)]
        async with hedgerow.worker("drift") as first:
            await hedgerow.send(parts[0] + parts[1])
            await until(lambda: seen(first) >= len(parts[0] + parts[1]))
        async with hedgerow.worker("drift") as second:
            await hedgerow.send(parts[2])
            await until(lambda: seen(second) >= len(parts[2]))
            async with hedgerow.worker("drift") as third:  # takes one partition from the second
                await until(lambda: rebalances(second) >= 2 and rebalances(third) >= 1)
                await hedgerow.send(parts[3])
                await until(lambda: seen(second) + seen(third) >= len(parts[2] + parts[3]))
            await hedgerow.send(parts[4])  # and gives it back
            found = await hedgerow.until_alerts(lambda alerts: {each.alert_id for each in alerts} >= wanted.keys())
        assert by_id(found) == wanted
    assert any(loaded), "a restart went on from a kept state"


def note_loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the offsets of the states that are taken up from now on."""
    load, offsets = DriftStates.load, list[int]()

    def noted(states: DriftStates, place: Place, before: int) -> State | None:
        if state := load(states, place, before):
            offsets.append(state.offset)
        return state

    monkeypatch.setattr(DriftStates, "load", noted)
    return offsets


async def test_a_worker_that_is_killed_in_the_middle_of_a_window_loses_no_alarm(
    broker: Broker, models: ModelServer, tmp_path: Path
) -> None:
    """Alarms that it had told and not committed are told again, under the same ids."""
    async with watched(broker, models, tmp_path) as hedgerow:
        config = tmp_path / "hedgerow.yaml"
        config.write_text(yaml.safe_dump(hedgerow.settings.model_dump(mode="json")), encoding="utf-8")
        command = [sys.executable, "-m", "streams.cli", "worker", "--config", str(config), "--agents", "drift"]
        half = len(FLEET) // 2
        await hedgerow.send(FLEET[:half])
        worker = ChildProcess(command)
        try:
            told = await hedgerow.until_alerts(bool)
        finally:
            await worker.kill()
        assert told
        await hedgerow.send(FLEET[half:])
        wanted = expected(FLEET, hedgerow.settings.policy.id)
        async with hedgerow.worker("drift"):
            found = await hedgerow.until_alerts(lambda alerts: {each.alert_id for each in alerts} >= wanted.keys())
        assert by_id(found) == wanted


def rebalances(worker: object) -> float:
    registry = worker.observer.registry  # type: ignore[attr-defined]
    return registry.get_sample_value("hedgerow_rebalances_total", {"agent": "drift"}) or 0.0


async def test_bad_probes_are_named_and_never_a_dead_agent(broker: Broker, models: ModelServer, tmp_path: Path) -> None:
    (first, *_) = given = probes(Endpoint(change_at=120, change_rms=2.0), 160, seed=1, name="one")
    fields = json.loads(first.encode())
    bad: list[tuple[bytes | None, str]] = [
        (b"\x00nonsense", "not_json"),
        (None, "empty_message"),
        (json.dumps(fields | {"logprobs": {"a": float("nan")}}).encode(), "wrong_schema"),
        (json.dumps(fields | {"logprobs": {"a": "low"}}).encode(), "wrong_schema"),
        (json.dumps(fields | {"at_ms": -1}).encode(), "wrong_schema"),
        (json.dumps(fields | {"v": 9}).encode(), "unknown_schema_version"),
        (json.dumps(fields | {"probe_id": "p", "logprobs": {"a": 0.7, "b": -1}}).encode(), "positive"),
        (
            json.dumps(fields | {"probe_id": "m", "logprobs": {str(n): -9 for n in range(10_000)}}).encode(),
            "too_many_tokens",
        ),
        (json.dumps(fields | {"probe_id": "c", "at_ms": 5}).encode(), "clock_back"),
        (json.dumps(fields | {"probe_id": "n", "endpoint": "never seen"}).encode(), "sample"),
        (first.encode(), "repeated"),
    ]
    async with watched(broker, models, tmp_path) as hedgerow, hedgerow.worker("drift") as worker:
        await hedgerow.send(given[:60])
        topic = f"{hedgerow.settings.topics.prefix}probes"
        async with raw_producer(hedgerow.settings) as producer:
            for value, _ in bad:
                await producer.send_and_wait(topic, key=b"one", value=value)
        await hedgerow.send(given[60:])
        found = await hedgerow.until_alerts(bool)
        letters = [m for m in await hedgerow.until("dead-letters", lambda m: len(m) >= 6) if isinstance(m, DeadLetter)]
        await until(lambda: seen(worker) == len(given) + len(bad) - 6)
        named = Counter(letter.reason for letter in letters)
        counted = Counter({what: int(seen(worker, what)) for _, what in bad if seen(worker, what)})
        assert named + counted == Counter(what for _, what in bad) + Counter(sample=len(given))
        assert [(each.source, each.kind) for each in found] == [("one", "model_changed")]
        assert by_id(found) == expected(given, hedgerow.settings.policy.id)


async def test_one_prober_leads_and_another_takes_over(broker: Broker, models: ModelServer, tmp_path: Path) -> None:
    async with watched(broker, models, tmp_path) as hedgerow:
        async with hedgerow.prober() as second:
            async with hedgerow.prober() as first:
                await until(lambda: len(first) + len(second) >= 40)
                halfway = len(first), len(second)
                await until(lambda: len(first) + len(second) >= 80)
                grown = len(first) > halfway[0], len(second) > halfway[1]
            leader_left = len(first) + len(second)
            await until(lambda: len(first) + len(second) >= leader_left + 40)
        made = Counter(probe.probe_id for probe in first + second)
        # A slot whose probe is on its way when the lead passes on is probed again, under the same id.
        assert sum(made.values()) - len(made) <= PARTITIONS
        assert max(made.values()) <= 2
        assert grown != (True, True), "one leads at a time"
        assert all(probe.logprobs for probe in first + second)
        await hedgerow.until("probes", lambda found: len(found) >= sum(made.values()))


async def test_tickets_that_change_are_told_from_a_model_that_does(
    broker: Broker, models: ModelServer, tmp_path: Path
) -> None:
    def classified(numbers: range, confidence: float) -> list[Classification]:
        return [classification(scored(confidence=confidence), ticket_id=f"t-{number}") for number in numbers]

    limits = TrafficLimits(reference=100, window=100)
    async with watched(broker, models, tmp_path, traffic=limits) as hedgerow:
        async with hedgerow.worker("traffic", "cause") as worker:
            handled = ("hedgerow_handling_seconds_count", {"agent": "traffic"})
            await hedgerow.send(classified(range(300), 0.9))
            await until(lambda: worker.observer.registry.get_sample_value(*handled) == 300)
            await hedgerow.send(classified(range(300, 400), 0.5))
            found = await hedgerow.until_alerts(lambda found: len(found) == 2)
        assert {(each.source, each.kind) for each in found} == {
            ("cheap", "traffic_changed"),
            ("cheap", "tickets_changed"),
        }
        # A look may come when only the clearer of the two is beyond chance.
        assert {measure for each in found for measure in each.details["moved"]} <= {"confidence", "escalated"}


async def test_tickets_or_both_and_the_memory_of_it_survives_a_restart(
    broker: Broker, models: ModelServer, tmp_path: Path
) -> None:
    async with watched(broker, models, tmp_path) as hedgerow:
        async with hedgerow.worker("cause"):
            await hedgerow.send(
                [alert(alert_id="t", source="cheap", kind="traffic_changed", details={"moved": ["labels"]})]
            )
            await hedgerow.until_alerts(lambda found: "tickets_changed" in {each.kind for each in found})
        async with hedgerow.worker("cause"):
            await hedgerow.send([alert(alert_id="m", source="cheap", kind="model_drifted", details={})])
            found = await hedgerow.until_alerts(lambda found: "both_changed" in {each.kind for each in found})
        (both,) = [each for each in found if each.kind == "both_changed"]
        assert (both.details["traffic_alert"], both.details["model_alert"]) == ("t", "m")
