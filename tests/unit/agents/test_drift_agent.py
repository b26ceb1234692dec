"""The drift agent: from a probe to alerts, and the same ones after its memory was rebuilt."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from schemas import Alert, Message, Probe
from streams.agents.drift import DriftHandler, alert_of
from streams.core.drift import Alarm, Kind, Moved, Span
from streams.core.drift.series import Raised
from streams.sandbox.simulated_probes import Endpoint
from tests.support.messages import probe
from tests.support.probes import probes

PLACE = ("probes", 0)
DAY_MS = 1_790_467_200_000  # 2026-09-27
GIVEN = probes(Endpoint(change_at=130, change_rms=1.0), 220, seed=1)


class Topic:
    """One partition of ``probes``."""

    def __init__(self, messages: Sequence[Probe]) -> None:
        self.messages = messages
        self.reads: list[Mapping[tuple[str, int], int]] = []

    async def history(self, before: Mapping[tuple[str, int], int]) -> AsyncIterator[Probe]:
        self.reads.append(before)
        for message in self.messages[: before[PLACE]]:
            yield message


def agent(topic: Topic) -> DriftHandler:
    return DriftHandler(["lt-ref", "lt"], "policy-7", topic.history)


def handled(agent: DriftHandler, messages: Sequence[Probe]) -> list[Message]:
    return [output for message in messages for output in agent(message)]


def alarm(kind: Kind = Kind.CHANGE, **changes: object) -> Alarm:
    return Alarm(kind, 2.0, 1.3, 1.5, Span(1, 2, 100), Span(3, 4, 5), (Moved("a" * 200, -1.0, -2.0),), **changes)  # type: ignore[arg-type]


class TestAlerts:
    def test_say_what_moved_against_what_and_when(self) -> None:
        (found,) = handled(agent(Topic(GIVEN)), GIVEN[:160])
        assert isinstance(found, Alert)
        assert (found.source, found.kind) == ("mini", "model_changed")
        details = found.details
        assert details["policy_id"] == "policy-7"
        assert details["statistic"] > details["threshold"] > 0
        assert GIVEN[129].at_ms < details["window"]["first_ms"] <= details["window"]["last_ms"] == found.at_ms
        assert details["baseline"]["first_ms"] == GIVEN[0].at_ms
        assert details["moved"][0].keys() == {"token", "before", "after"}
        assert details["moved"][0]["token"] in found.summary
        assert Alert.decode(found.encode()) == found

    def test_are_the_same_at_every_redelivery(self) -> None:
        raised = Raised("lt", alarm())
        assert alert_of(probe(), raised, "p") == alert_of(probe(), raised, "p")
        ids = {
            alert_of(probe(probe_id=probe_id, endpoint=endpoint), Raised("lt", alarm(kind)), "p").alert_id
            for probe_id in ("1", "2")
            for endpoint in ("one", "two")
            for kind in (Kind.CHANGE, Kind.DRIFT)
        }
        assert len(ids) == 8

    def test_name_every_kind(self) -> None:
        kinds = {
            Kind.CHANGE: ("model_changed", "suddenly"),
            Kind.DRIFT: ("model_drifted", "slowly"),
            Kind.RETURNED: ("model_returned", "are again those of 2026-09-27 00:00 to 2026-09-28 00:00"),
            Kind.ALTERNATING: (
                "model_alternating",
                "two models alternate (swaps on 2026-09-27 00:00, 2026-09-28 00:00)",
            ),
            Kind.K_CHANGE: ("k_changed", "5 alternatives come back instead of 20"),
            Kind.MISSING: ("logprobs_missing", "2 answers in a row came back without logprobs"),
            Kind.MODEL_CHANGE: ("model_id_changed", "the model 5 answers instead of 20"),
            Kind.FINGERPRINT_CHANGE: ("fingerprint_changed", "the fingerprint 5 comes back instead of 20"),
        }
        for kind, (name, said) in kinds.items():
            known = {"matched": Span(DAY_MS, DAY_MS + 86_400_000, 100), "swaps": (DAY_MS, DAY_MS + 86_400_000)}
            again = kind in {Kind.RETURNED, Kind.ALTERNATING}
            found = alert_of(probe(), Raised("lt", alarm(kind, was=20, now=5, **known if again else {})), "p")
            assert again == ("matched" in found.details) == ("swaps" in found.details)
            assert found.kind == name
            assert said in found.summary
            assert len(found.summary) < 300
        assert kinds.keys() == set(Kind)


class TestMemory:
    @pytest.mark.parametrize(
        ("given", "alerts"),
        [(GIVEN, 1), (probes(Endpoint(change_at=130, change_rms=0.3, swap_every=30), 220, seed=1), 3)],
    )
    async def test_a_restart_anywhere_leads_to_the_same_alerts(self, given: list[Probe], alerts: int) -> None:
        whole = handled(agent(Topic(given)), given)
        assert len(whole) == alerts
        for cut in (1, 99, 100, 110, 131, 135, 160, 164, 200, 219):
            topic = Topic(given)
            before, after = agent(topic), agent(topic)
            outputs = handled(before, given[:cut])
            after.memory.forget()
            await after.memory.catch_up({PLACE: cut})
            assert outputs + handled(after, given[cut:]) == whole, cut

    async def test_what_was_handled_and_not_committed_is_told_again(self) -> None:
        topic = Topic(GIVEN)
        first = agent(topic)
        told = handled(first, GIVEN[:160])
        first.memory.forget()
        await first.memory.catch_up({PLACE: 120})
        assert handled(first, GIVEN[120:160]) == told != []

    async def test_catching_up_is_silent_and_counts_nothing(self) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        topic = Topic(GIVEN)
        quiet = DriftHandler(["lt-ref"], "p", topic.history, lambda endpoint, what: counts.update([(endpoint, what)]))
        await quiet.memory.catch_up({PLACE: 200})
        assert counts == {}
        quiet(GIVEN[200])
        quiet(GIVEN[200])
        quiet(GIVEN[201].model_copy(update={"logprobs": {"a": 1.0}}))
        assert counts == {("mini", "sample"): 1, ("mini", "repeated"): 1, ("mini", "positive"): 1}

    async def test_a_memory_that_is_forgotten_while_it_catches_up_is_of_no_consequence(self) -> None:
        topic = Topic(GIVEN)
        rebuilt = agent(topic)

        async def interrupted(before: Mapping[tuple[str, int], int]) -> AsyncIterator[Probe]:
            async for message in topic.history(before):
                if message is GIVEN[50]:
                    rebuilt.memory.forget()
                yield message

        rebuilt.memory._history = interrupted
        await rebuilt.memory.catch_up({PLACE: 120})
        rebuilt.memory._history = topic.history
        await rebuilt.memory.catch_up({PLACE: 120})
        assert handled(rebuilt, GIVEN[120:]) == handled(agent(Topic(GIVEN)), GIVEN)
