"""Limits hold for all workers together, whatever is said twice, late, in another order, or by another clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.fleet import WorkerState
from streams.core.fleet import Caps, Fleet, Member
from streams.core.fleet.caps import DAY_MS, HOUR_MS, MINUTE_MS

NOON_MS = 20_000 * DAY_MS + 12 * HOUR_MS


@dataclass
class Topic:
    """The states in the order in which the broker has them."""

    states: list[WorkerState] = field(default_factory=list)


class Worker:
    """One worker that says something, reads what is there, asks and uses."""

    def __init__(self, name: str, caps: Caps, topic: Topic, skew_ms: int) -> None:
        self.name = name
        self.member = Member(name, "g", {"money": caps})
        self.account = self.member.accounts["money"]
        self._topic = topic
        self._read = 0
        self._skew_ms = skew_ms

    def say(self, now_ms: int) -> None:
        state = self.member.state(now_ms + self._skew_ms)
        self._topic.states.append(state)
        self.member.said(state)

    def read(self, now_ms: int) -> None:
        """Read all that is there, with what was granted meanwhile."""
        for state in self._topic.states[self._read :]:
            self.member.update(state, now_ms + self._skew_ms)
        self._read = len(self._topic.states)

    def take(self, amount: int, now_ms: int) -> bool:
        return self.account.take(amount, now_ms + self._skew_ms)


#: What a worker does, and how much of the limit it is about; or the time that passes, seconds.
STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["ask", "grant", "take", "take and settle", "say", "give back", "die"]),
            st.integers(0, 1),
            st.sampled_from([3, 5, 10]),
        ),
        st.tuples(st.just("pass"), st.just(0), st.sampled_from([20, 50, 3_540, 3_600, 3_660])),
    ),
    min_size=5,
    max_size=40,
)


def play(plan: list[tuple[str, int, int]], most: int) -> list[tuple[int, int]]:
    """Return when (Unix time, milliseconds) how much was used."""
    topic, now_ms, caps = Topic(), NOON_MS, Caps(hour=most)
    workers = [Worker(f"w{number}", caps, topic, 0) for number in range(2)]
    uses: list[tuple[int, int]] = []
    asking: set[str] = set()
    for do, which, amount in plan:
        worker = workers[which]
        if do == "pass":
            now_ms += amount * 1000
        elif do == "die":  # and another one starts in its place, which reads all that is there
            workers[which] = Worker(f"{worker.name}'", caps, topic, 0)
            workers[which].read(now_ms)
        elif do == "ask" and worker.name not in asking:
            worker.read(now_ms)
            worker.member.ask("money", amount)
            worker.say(now_ms)
            asking.add(worker.name)
        elif do == "grant" and worker.name in asking:
            worker.read(now_ms)
            asking.discard(worker.name)
        elif do == "take" and worker.take(amount, now_ms):
            uses.append((now_ms, amount))
        elif do == "take and settle" and worker.take(amount, now_ms):
            worker.account.settle(amount, amount // 2, now_ms)
            uses.append((now_ms, amount // 2))
        elif do == "say":
            worker.say(now_ms)
        elif do == "give back":
            worker.account.give_back(amount)
            worker.say(now_ms)
    return uses


@given(STEPS)
@example([("ask", 0, 10), ("ask", 1, 10), ("grant", 0, 0), ("grant", 1, 0), ("take", 0, 10), ("take", 1, 10)])
@example(
    [
        *[("pass", 0, 40), ("ask", 0, 10), ("grant", 0, 0), ("pass", 0, 50), ("take", 0, 10), ("die", 0, 0)],
        *[("pass", 0, 3_580), ("ask", 1, 10), ("grant", 1, 0), ("take", 1, 10)],
    ]
)
@example(
    [
        *[("ask", 0, 10), ("grant", 0, 0), ("pass", 0, 3_800), ("ask", 1, 10), ("grant", 1, 0), ("take", 1, 10)],
        ("take", 0, 10),
    ]
)
@settings(max_examples=300, deadline=None)
def test_workers_together_never_use_more_than_a_limit_within_any_hour(plan: list[tuple[str, int, int]]) -> None:
    uses = play(plan, 10)
    for end, _ in uses:
        assert sum(amount for at, amount in uses if end - HOUR_MS < at <= end) <= 10


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 5), st.integers(0, 12)), max_size=40))
@example([*[(True, 5, 5)] * 10, (True, 5, 12), (True, 5, 0), *[(False, 1, 0)] * 12, (True, 5, 5)])
@settings(max_examples=300, deadline=None)
def test_no_call_begins_beyond_the_limit_whatever_the_calls_before_it_cost(plan: list[tuple[bool, int, int]]) -> None:
    """Calls begin with an estimate, of which each is another one's in the end, and end in any order."""
    most, topic = 60, Topic()
    worker = Worker("w", Caps(hour=most), topic, 0)
    calls: list[tuple[int, int]] = []
    used = 0
    for begins, estimate, cost in plan:
        if begins:
            worker.member.ask("money", max(0, estimate - worker.account.leased))
            worker.say(NOON_MS)
            worker.read(NOON_MS)
            if worker.take(estimate, NOON_MS):
                used += estimate
                calls.append((estimate, cost))
                assert used <= most
        elif calls:
            taken, was = calls.pop(0)
            worker.account.settle(taken, was, NOON_MS)
            used += was - taken
        assert worker.account.used("hour", NOON_MS) == used
        assert used + worker.account.leased <= max(used, most)


@given(st.permutations(range(8)), st.lists(st.integers(0, 7), max_size=8), st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_merged_is_the_same_in_any_order_and_however_often(
    order: list[int], again: list[int], data: st.DataObject
) -> None:
    states = [
        WorkerState(
            worker=f"w{number % 3}",
            group="g",
            number=number,
            at_ms=NOON_MS + data.draw(st.integers(-5, 5)) * MINUTE_MS,
            money={"minutes": [{"at": NOON_MS // MINUTE_MS, "used": data.draw(st.integers(0, 9))}], "leased": number},
        )
        for number in range(8)
    ]
    one, other = Fleet("g"), Fleet("g")
    one.merge(states)
    other.merge(states[number] for number in [*order, *again])
    assert list(one) == list(other)
    assert one.used("money", "hour", NOON_MS) == other.used("money", "hour", NOON_MS)


@given(st.integers(-30, 30), st.lists(st.integers(1, 10), max_size=30))
@settings(max_examples=50, deadline=None)
def test_a_clock_that_differs_moves_use_by_no_more_than_the_difference(skew_s: int, amounts: list[int]) -> None:
    topic = Topic()
    one, other = Worker("one", Caps(hour=50), topic, 0), Worker("other", Caps(hour=50), topic, skew_s * 1000)
    used = 0
    for number, amount in enumerate(amounts):
        worker = (one, other)[number % 2]
        now_ms = NOON_MS + number * 1000
        worker.member.ask("money", amount)
        worker.say(now_ms)
        worker.read(now_ms)
        used += amount if worker.take(amount, now_ms) else 0
        worker.say(now_ms)
    assert used <= 50  # all of it within a minute: an hour holds it whichever clock counts
