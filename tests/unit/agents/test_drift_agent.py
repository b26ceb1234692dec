"""The drift agent: from a probe to alerts, and the same ones after its memory was rebuilt."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from schemas import Alert, Message, Probe
from streams.agents import drift_memory
from streams.agents.drift import DriftHandler, alert_of
from streams.agents.drift_memory import DriftMemory, Place, Placed, State
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
        self.reads: list[tuple[int, int]] = []

    async def history(self, since: Mapping[Place, int], before: Mapping[Place, int]) -> AsyncIterator[Placed]:
        for place, end in before.items():
            first = since.get(place, 0)
            self.reads.append((first, end))
            for offset in range(first, end):
                yield self.placed(offset, place)

    def placed(self, offset: int, place: Place = PLACE) -> Placed:
        return Placed(place, offset, self.messages[offset])


class Kept:
    """States in memory, as a folder keeps them."""

    def __init__(self) -> None:
        self.states: dict[int, bytes] = {}

    def load(self, place: Place, before: int) -> State | None:
        assert place == PLACE
        found = max((offset for offset in self.states if offset < before), default=None)
        return None if found is None else pickle.loads(self.states[found])

    def keep(self, place: Place, state: State) -> None:
        assert place == PLACE
        self.states[state.offset] = pickle.dumps(state)


def agent(topic: Topic) -> DriftHandler:
    return DriftHandler(["lt-ref", "lt"], "policy-7", topic.history)


def handled(agent: DriftHandler, messages: Sequence[Probe], first: int = 0) -> list[Message]:
    placed = (Placed(PLACE, offset, message) for offset, message in enumerate(messages, start=first))
    return [output for each in placed for output in agent(each)]


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
            assert outputs + handled(after, given[cut:], cut) == whole, cut

    async def test_what_was_handled_and_not_committed_is_told_again(self) -> None:
        topic = Topic(GIVEN)
        first = agent(topic)
        told = handled(first, GIVEN[:160])
        first.memory.forget()
        await first.memory.catch_up({PLACE: 120})
        assert handled(first, GIVEN[120:160], 120) == told != []

    async def test_catching_up_is_silent_and_counts_nothing(self) -> None:
        counts: Counter[tuple[str, str]] = Counter()
        topic = Topic(GIVEN)
        quiet = DriftHandler(["lt-ref"], "p", topic.history, lambda endpoint, what: counts.update([(endpoint, what)]))
        await quiet.memory.catch_up({PLACE: 200})
        assert counts == {}
        handled(quiet, [GIVEN[200], GIVEN[200], GIVEN[201].model_copy(update={"logprobs": {"a": 1.0}})], 200)
        assert counts == {("mini", "sample"): 1, ("mini", "repeated"): 1, ("mini", "positive"): 1}

    async def test_a_memory_that_is_forgotten_while_it_catches_up_is_of_no_consequence(self) -> None:
        topic = Topic(GIVEN)
        rebuilt = agent(topic)

        async def interrupted(since: Mapping[Place, int], before: Mapping[Place, int]) -> AsyncIterator[Placed]:
            async for placed in topic.history(since, before):
                if placed.offset == 50:
                    rebuilt.memory.forget()
                yield placed

        rebuilt.memory._history = interrupted
        await rebuilt.memory.catch_up({PLACE: 120})
        rebuilt.memory._history = topic.history
        await rebuilt.memory.catch_up({PLACE: 120})
        assert handled(rebuilt, GIVEN[120:], 120) == handled(agent(Topic(GIVEN)), GIVEN)


class TestKeptStates:
    """A restart goes on from what was kept, and raises the same alerts to the last digit."""

    SWAPS = probes(Endpoint(change_at=130, change_rms=0.3, swap_every=30), 220, seed=1)

    @pytest.fixture(autouse=True)
    def often(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(drift_memory, "KEPT_EVERY", 20)

    def agent(self, topic: Topic, kept: Kept) -> DriftHandler:
        return DriftHandler(["lt-ref", "lt", "river-page-hinkley"], "policy-7", topic.history, states=kept)

    async def test_a_restart_anywhere_reads_what_came_since_and_leads_to_the_same_alerts(self) -> None:
        whole = handled(self.agent(Topic(self.SWAPS), Kept()), self.SWAPS)
        assert len(whole) > 2
        for cut in (10, 110, 135, 164):
            topic, kept = Topic(self.SWAPS), Kept()
            outputs = handled(self.agent(topic, kept), self.SWAPS[:cut])
            after = self.agent(topic, kept)
            await after.memory.catch_up({PLACE: cut})
            assert topic.reads == [(max(0, (cut - 1) // 20 * 20 - 1), cut)]
            assert outputs + handled(after, self.SWAPS[cut:], cut) == whole, cut

    async def test_a_state_that_is_ahead_of_what_is_committed_waits_for_its_turn(self) -> None:
        topic, kept = Topic(self.SWAPS), Kept()
        handled(self.agent(topic, kept), self.SWAPS[:170])
        after = self.agent(topic, kept)
        await after.memory.catch_up({PLACE: 150})
        assert topic.reads == [(139, 150)]
        assert handled(after, self.SWAPS[150:170], 150) == handled(self.agent(topic, Kept()), self.SWAPS[:170])[-1:]

    async def test_the_state_of_another_topic_of_that_name_is_not_taken_up(self) -> None:
        topic, kept, other = Topic(GIVEN), Kept(), probes(Endpoint(), 220, seed=9)
        handled(self.agent(Topic(other), kept), other[:110])
        after = self.agent(topic, kept)
        await after.memory.catch_up({PLACE: 120})
        assert topic.reads == [(99, 120), (0, 120)]
        assert handled(after, GIVEN[120:], 120) == handled(self.agent(topic, Kept()), GIVEN)

    async def test_what_is_read_again_is_kept_too(self) -> None:
        kept = Kept()
        await DriftMemory(["lt-ref"], Topic(GIVEN).history, kept).catch_up({PLACE: 130})
        assert sorted(kept.states) == list(range(19, 120, 20))
