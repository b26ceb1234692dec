"""Under any sequence of answers, times and exceptions: nothing unscored is accepted but under an exception in force."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Call, Escalation, Reason, Review, Routed, Scored, Tier, Unscorable
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.guards import Clock, Guards
from streams.agents.score import OneByOne, ScoreHandler
from streams.core.guards import GuardLimits
from streams.core.guards.breaker import Breaker, Permit
from streams.core.guards.written_exception import ABSENCE, WrittenException
from streams.core.policy.policy import Policy
from tests.support.contracts import contracts, exception
from tests.support.handlers import AskedModel
from tests.support.messages import LABELS, arrival, call, scored, unscorable

seeded = settings(max_examples=60, deadline=None, derandomize=True)
START = datetime(2026, 11, 1, tzinfo=UTC)

labels = st.none() | st.sampled_from(LABELS)
signals = st.one_of(
    st.builds(unscorable, st.sampled_from(Reason), labels),
    # Drawn often: an accept that should not be is likeliest there.
    st.builds(unscorable, st.sampled_from(sorted(ABSENCE)), st.sampled_from(LABELS)),
    st.builds(scored, st.sampled_from(LABELS), k=st.sampled_from([2, 20]), confidence=st.sampled_from([0.3, 1.0])),
)
models = st.just("{tier}-model-2026-08-01") | st.sampled_from(["other-model", None])
#: What each tier answers, for how many tickets, and how long each takes (seconds).
phases = st.lists(
    st.tuples(signals, models, signals, models, st.integers(1, 40), st.sampled_from([0.1, 20.0, 40_000.0])), max_size=6
)
TIERS: tuple[Tier, ...] = ("cheap", "big")
tiers: st.SearchStrategy[Tier] = st.sampled_from(TIERS)


@st.composite
def exceptions(draw: st.DrawFn) -> list[WrittenException]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        tier = draw(tiers)
        expires = (START + timedelta(days=draw(st.integers(-2, 4)))).date()
        reasons = draw(st.lists(st.sampled_from(sorted(ABSENCE)), min_size=1))
        only = draw(st.none() | st.lists(st.sampled_from(LABELS), min_size=1))
        made.append(
            exception(id=f"e-{number}", tier=tier, model=f"{tier}-model", reasons=reasons, labels=only, expires=expires)
        )
    return made


class World:
    def __init__(self, written: list[WrittenException], most: int | None) -> None:
        self.seconds = 0.0
        self.answers: dict[Tier, Call] = {}
        policy = Policy(max_escalations_per_hour=most)
        clock = Clock(lambda: self.seconds, lambda: int(START.timestamp() * 1000 + self.seconds * 1000))
        guards = Guards(contracts(*written), GuardLimits(run=5, window=20, share_window=50), most, clock)
        self.today = clock.today
        check_cheap, check_big = (guards.decisions(tier, f"{tier}-model").check for tier in TIERS)
        ask_cheap, ask_big = (guards.guarded(AskedModel(tier, self.answers_of(tier))).ask for tier in TIERS)
        self.classify = ClassifyHandler(ask_cheap, guards.escalates, policy, 3)
        score = ScoreHandler(policy, 3, check=check_cheap, stale=lambda: False)
        self.score = OneByOne(score, guards.may_escalate)
        self.escalate = EscalateHandler(ask_big, policy, 3, check=check_big, stale=lambda: False)

    def answers_of(self, tier: Tier) -> Callable[[str], Awaitable[Call]]:
        async def answer(_: str) -> Call:
            return self.answers[tier]

        return answer

    async def run(self, number: int) -> Routed | Review:
        """Send one ticket through all three handlers and return how it ends."""
        first, *_ = await self.classify(arrival(f"t-{number}"))
        second, *_ = await self.score(first)  # type: ignore[arg-type]
        if isinstance(second, Escalation):
            second, *_ = await self.escalate(second)
        assert isinstance(second, Routed | Review)
        return second


@given(phases, exceptions(), st.sampled_from([None, 0, 10]))
@seeded
def test_nothing_unscored_is_accepted_but_under_an_exception_in_force(
    plan: list[tuple[Scored | Unscorable, str | None, Scored | Unscorable, str | None, int, float]],
    written: list[WrittenException],
    most: int | None,
) -> None:
    async def play() -> None:
        world = World(written, most)
        number = 0
        for cheap, cheap_model, big, big_model, tickets, pace in plan:
            world.answers["cheap"] = call(
                "cheap", cheap, model_returned=cheap_model and cheap_model.format(tier="cheap")
            )
            world.answers["big"] = call("big", big, model_returned=big_model and big_model.format(tier="big"))
            for _ in range(tickets):
                world.seconds += pace
                number += 1
                judge(world, await world.run(number), written)

    asyncio.run(play())


def judge(world: World, outcome: Routed | Review, written: list[WrittenException]) -> None:
    if isinstance(outcome, Review):
        return
    last = outcome.calls[-1]
    assert last.model_returned == f"{last.tier}-model-2026-08-01"
    named = [each for each in written if f"exception:{each.id}" in outcome.reasons]
    if isinstance(last.signal, Scored):
        assert named == []
        assert outcome.confidence is not None
        assert last.signal.k >= 5
        return
    [used] = named
    assert world.today() <= used.expires
    assert used.covers(last, world.today())
    assert (outcome.label, outcome.confidence, outcome.entropy) == (last.signal.label, None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from(["permit", "open", "passed", "failed"]), st.floats(0, 30)), min_size=1, max_size=60
    ),
    st.integers(1, 4),
)
@seeded
def test_the_breaker_is_always_in_one_of_its_states(steps: list[tuple[str, float]], to_close: int) -> None:
    breaker, now, good, last_trial = Breaker(10.0, to_close), 0.0, 0, -1e9
    for step, pause in steps:
        now += pause
        was_open = breaker.is_open
        if step == "permit":
            permit = breaker.permit(now)
            assert (permit is Permit.CALL) == (not was_open)
            assert breaker.permit(now) is (Permit.REFUSED if was_open else Permit.CALL)
            if permit is Permit.TRIAL and good == 0:
                assert now - last_trial >= 10.0
            last_trial = now if permit is Permit.TRIAL else last_trial
        elif step == "passed":
            closes = breaker.passed(now)
            good = good + 1 if was_open else 0
            assert closes == (was_open and good == to_close)
            assert breaker.is_open == (was_open and not closes)
            good = 0 if closes else good
        elif step == "failed":
            breaker.failed(now)
            assert breaker.is_open == was_open
            good = 0
        else:
            breaker.open(now)
            good = 0
            assert breaker.is_open
