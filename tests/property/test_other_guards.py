"""What the guards of several workers saw is one sum, whatever is said twice, late, in another order, or by another clock."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.fleet import Counted, EndpointState, RunOfBreaches, ShareState, WorkerState
from streams.core.fleet import Fleet, Member
from streams.core.fleet.fleet import LIVE_MS
from streams.core.fleet.others import latest, other_guards, other_shares, tally
from streams.core.guards.breaker import Breaker

NOW_MS = 1_790_000_000_000
WINDOW = 20
SOURCE = "cheap:m"

seeded = settings(max_examples=100, deadline=None, derandomize=True)


@st.composite
def counted(draw: st.DrawFn, oldest_ms: int = 10 * LIVE_MS) -> Counted:
    calls = draw(st.integers(0, WINDOW))
    before = draw(st.integers(0, 400))
    return Counted(
        at_ms=NOW_MS - draw(st.integers(0, oldest_ms)),
        calls=calls,
        counts={"a": draw(st.integers(0, calls)), "b": draw(st.integers(0, calls))},
        calls_before=before,
        counts_before={"a": draw(st.integers(0, before))},
        learns=draw(st.booleans()),
    )


def endpoint(each: Counted, turns: int = 0, run: int = 0) -> EndpointState:
    runs = {"accept": RunOfBreaches(length=run, names={"a": run})} if run else {}
    return EndpointState(source=SOURCE, turns=turns, counted=each, runs=runs)


def works(said: list[Counted]) -> list[bool]:
    return [NOW_MS - each.at_ms < LIVE_MS for each in said]


endpoints = st.builds(endpoint, counted(), st.integers(0, 3), st.integers(0, WINDOW))


def state(number: int, worker: str, each: EndpointState, at_ms: int = NOW_MS, *, stopped: bool = False) -> WorkerState:
    share = ShareState(counted=each.counted, since_ms=each.turns, quiet=number)
    return WorkerState(
        worker=worker, group="g", number=number, at_ms=at_ms, stopped=stopped, endpoints=(each,), share=share
    )


@given(st.lists(endpoints, min_size=6, max_size=6), st.permutations(range(6)), st.lists(st.integers(0, 5), max_size=8))
@seeded
def test_the_sum_is_the_same_in_any_order_and_however_often(
    said: list[EndpointState], order: list[int], again: list[int]
) -> None:
    states = [state(number, f"w{number % 4}", each) for number, each in enumerate(said)]
    one, other = Member("me", "g", {}), Member("me", "g", {})
    for each in states:
        one.update(each, NOW_MS)
    for number in [*order, *again]:
        other.update(states[number], NOW_MS)
    assert one.other_guards(SOURCE, WINDOW, 3, 1, NOW_MS) == other.other_guards(SOURCE, WINDOW, 3, 1, NOW_MS)
    assert one.other_shares(WINDOW, 3, NOW_MS) == other.other_shares(WINDOW, 3, NOW_MS)


@given(st.lists(counted(), max_size=6), st.integers(0, WINDOW))
@seeded
def test_nothing_is_counted_twice_and_all_that_is_latest_is(said: list[Counted], own_calls: int) -> None:
    among = latest(said, works(said), WINDOW, own_calls)
    found = tally(said, among, WINDOW)
    assert found.calls == sum(each.calls for each, is_latest in zip(said, among, strict=True) if is_latest)
    assert found.counts == Counter({"a": 0}) + sum(
        (Counter(s.counts) for s, i in zip(said, among, strict=True) if i), Counter()
    )
    most = sum(each.calls_before + each.calls for each in said) - found.calls
    assert found.calls_before <= most
    assert all(hits <= found.calls_before for hits in found.counts_before.values())
    assert sum(among) >= sum(works(said))  # each at work has room for its own window
    for dropped, other in ((a, b) for a, i in zip(said, among, strict=True) if not i for b in said):
        assert dropped.at_ms <= other.at_ms or not among[said.index(other)]


@given(st.lists(counted(oldest_ms=1_000), min_size=1, max_size=4), st.integers(-50_000, 50_000))
@seeded
def test_clocks_that_differ_by_less_than_a_minute_change_no_sum_of_workers_at_work(
    said: list[Counted], skew_ms: int
) -> None:
    skewed = [said[0].model_copy(update={"at_ms": said[0].at_ms + skew_ms}), *said[1:]]
    one, other = (other_guards(map(endpoint, each), works(each), WINDOW, 5, 0) for each in (said, skewed))
    assert (one.tally.calls, one.tally.counts) == (other.tally.calls, other.tally.counts)


@given(endpoints, endpoints, st.integers(0, 4))
@seeded
def test_what_was_seen_before_the_breakers_latest_turn_is_in_no_sum(
    one: EndpointState, other: EndpointState, own_turns: int
) -> None:
    found = other_guards([one, other], [True, False], WINDOW, 0, own_turns)
    assert found.turns == max(one.turns, other.turns)
    assert found.tally.calls <= sum(each.counted.calls for each in (one, other) if each.turns >= own_turns)
    for use, run in found.shortest_runs.items():
        assert found.run_calls[use] >= run.length


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 500)), max_size=6))
@seeded
def test_quiet_decisions_add_up_since_the_last_escalation_of_any_worker(said: list[tuple[int, int]]) -> None:
    shares = [ShareState(since_ms=since_ms, quiet=quiet) for since_ms, quiet in said]
    last = max((since_ms for since_ms, _ in said), default=0)
    found = other_shares(shares, [True] * len(shares), WINDOW, 0)
    assert (found.since_ms, found.quiet) == (last, sum(quiet for since_ms, quiet in said if since_ms == last))


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["open", "passed", "failed", "hear"])), max_size=60))
@seeded
def test_breakers_that_have_heard_of_each_other_agree(steps: list[tuple[int, str]]) -> None:
    breakers = [Breaker(10.0, 2) for _ in range(3)]
    for now, (which, do) in enumerate(steps):
        breaker, turns = breakers[which], breakers[which].turns
        if do == "hear":
            most = max(each.turns for each in breakers)
            breaker.follow(most, now)
            assert breaker.turns == most
        elif do == "open":
            breaker.open(now)
            assert breaker.is_open
        elif do == "passed":
            assert breaker.passed(now) == (breaker.turns == turns + 1)
        else:
            breaker.failed(now)
            assert breaker.turns == turns
        assert breaker.turns >= turns
    most = max(each.turns for each in breakers)
    for breaker in breakers:
        breaker.follow(most, 1e9)
    assert len({(breaker.is_open, breaker.turns) for breaker in breakers}) == 1


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * LIVE_MS)), min_size=1, max_size=5))
@seeded
def test_trials_are_for_one_live_worker_and_never_for_none(said: list[tuple[bool, int]]) -> None:
    fleet = Fleet("g")
    states = [
        state(1, f"w{number}", endpoint(Counted()), NOW_MS - ago_ms, stopped=stopped)
        for number, (stopped, ago_ms) in enumerate(said)
    ]
    fleet.merge(states)
    live = fleet.live(NOW_MS)
    leads = []
    for worker in live:
        member = Member(worker, "g", {})
        for each in states:
            member.update(each, NOW_MS)
        leads.append(member.other_guards(SOURCE, WINDOW, 0, 0, NOW_MS).leads)
        alone = Member("another endpoint's", "g", {})
        assert alone.other_guards("big:m", WINDOW, 0, 0, NOW_MS).leads
    assert sum(leads) == min(1, len(live))


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 2 * LIVE_MS)), min_size=1, max_size=5),
)
@seeded
def test_of_the_workers_without_answers_one_tries_or_all_of_them_if_another_is_answered(
    said: list[tuple[bool, bool, int]],
) -> None:
    states = [
        state(
            1,
            f"w{n}",
            endpoint(Counted(at_ms=NOW_MS)).model_copy(update={"down": down}),
            NOW_MS - ago_ms,
            stopped=stops,
        )
        for n, (down, stops, ago_ms) in enumerate(said)
    ]
    fleet = Fleet("g")
    fleet.merge(states)
    live = fleet.live(NOW_MS)
    down = [each.worker for each in states if each.worker in live and each.endpoints[0].down]
    tries = 0
    for worker in down:
        member = Member(worker, "g", {})
        for each in states:
            member.update(each, NOW_MS)
        tries += member.other_guards(SOURCE, WINDOW, 0, 0, NOW_MS).leads_in_outage
    assert tries == (len(down) if len(down) < len(live) else min(1, len(down)))


@given(st.integers(-30_000, 30_000), st.integers(0, 50_000))
@seeded
def test_trials_of_a_worker_that_is_not_heard_of_are_another_ones_soon_and_by_no_other_clock(
    skew_ms: int, silent_ms: int
) -> None:
    member = Member("b", "g", {})
    down = EndpointState(source=SOURCE, turns=1, down=True)
    member.update(state(1, "a", down, NOW_MS + skew_ms), NOW_MS)
    others = member.other_guards(SOURCE, WINDOW, 0, 0, NOW_MS + silent_ms)
    assert others.are_there is (silent_ms - skew_ms < LIVE_MS)
    if others.are_there:
        assert others.leads is others.leads_in_outage is (silent_ms >= 6_000)
    member.update(state(2, "a", down, NOW_MS + skew_ms + silent_ms), NOW_MS + silent_ms)
    assert not member.other_guards(SOURCE, WINDOW, 0, 0, NOW_MS + silent_ms).leads_in_outage


def test_a_worker_says_that_it_is_in_trouble_while_an_endpoint_is() -> None:
    said = EndpointState(source=SOURCE)
    member = Member("a", "g", {})
    member.watch(SOURCE, lambda: said)
    assert not member.is_in_trouble
    said = EndpointState(source=SOURCE, down=True)
    assert member.is_in_trouble
    said = EndpointState(source=SOURCE, turns=3)
    assert member.is_in_trouble
    said = EndpointState(source=SOURCE, turns=4)
    assert not member.is_in_trouble
