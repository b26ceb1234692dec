"""The watchdog on a real runner whose broker and clock are in the test's hands: whom it ends, and whom never."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from schemas import Message, Ticket
from streams.delivery.handling import LONGEST_PAUSE_S
from streams.delivery.ledger import Ledger
from streams.delivery.runner import Runner
from streams.delivery.service import StageService
from streams.delivery.stage import AsyncHandler
from streams.errors import SettingsError, StopWorker, TryAgain
from streams.observability.liveness import State
from streams.observability.metrics import MetricsObserver
from streams.settings import WorkerSettings, check_settings
from streams.worker.watchdog import Watchdog, WatchedObserver
from tests.support.records import P0, Bench, Held, loop_turns, record, records, verdict

LIMIT_S = 100.0
AGENT = "test"


class FakeService:
    """What the watchdog knows of a stage service."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.stage = runner.stage
        self.errors: list[StopWorker] = []

    def give_up(self, error: StopWorker) -> None:
        self.errors.append(error)


class Looked:
    """A watchdog over one bench; ``lag`` is what the broker says, None for a broker that does not answer."""

    def __init__(self, handler: AsyncHandler, **bench: Any) -> None:
        self.observer = WatchedObserver()
        self.bench = Bench(handler, observer=self.observer, **bench)
        self.service = FakeService(self.bench.runner)
        self.lag: int | None = 0
        self.asked: list[Mapping[tuple[str, int], int | None]] = []
        self.now_s = 0.0
        services = cast("Sequence[StageService]", [self.service])
        self.watchdog = Watchdog(services, self.observer, LIMIT_S, self.lag_of, now=lambda: self.now_s)
        self.observer.rebalanced(AGENT, 1, 0.0)

    async def lag_of(self, positions: Mapping[tuple[str, int], int | None]) -> int | None:
        self.asked.append(positions)
        return self.lag

    async def after(self, seconds: float) -> State:
        """Look every tenth of the limit and return how the stage stands."""
        for _ in range(round(seconds / 10)):
            self.now_s += 10
            await self.watchdog.look(AGENT)
        return self.watchdog.standings[AGENT].state

    def gauge(self, name: str) -> float | None:
        return self.observer.registry.get_sample_value(f"hedgerow_{name}", {"agent": AGENT})


@pytest.fixture
async def held() -> Held:
    return Held()


@pytest.fixture
def no_pauses() -> Iterator[None]:
    stamina.set_testing(True)
    yield
    stamina.set_testing(False)


async def test_a_consumer_that_takes_nothing_while_records_wait_is_given_up(held: Held) -> None:
    looked = Looked(held)
    looked.lag = 7
    assert await looked.after(LIMIT_S) is State.WAITING
    assert looked.service.errors == []
    assert looked.gauge("stalled") == 0
    assert looked.gauge("without_progress_seconds") == LIMIT_S - 10
    assert await looked.after(10) is State.STALLED
    (error,) = looked.service.errors
    assert str(error) == (
        "the test agent has stalled: 0 messages in progress, 7 or more waiting, and no sign of life for 100 s; "
        "start the worker again"
    )
    assert looked.gauge("stalled") == 1
    assert looked.gauge("without_progress_seconds") == LIMIT_S
    await looked.watchdog.run()  # over at once: one that is given up is looked at no more


async def test_handlers_that_never_come_back_are_given_up(held: Held) -> None:
    looked = Looked(held)
    await looked.bench.feed(records(range(3)))
    await held.wait_begun(3)
    assert await looked.after(LIMIT_S + 10) is State.STALLED
    assert "3 messages in progress, 0 or more waiting" in str(looked.service.errors[0])
    looked.bench.runner.cancel()


async def test_an_idle_worker_is_never_ended(held: Held) -> None:
    looked = Looked(held)
    assert await looked.after(50 * LIMIT_S) is State.IDLE
    assert looked.service.errors == []


async def test_the_broker_is_asked_from_where_the_worker_stands_and_only_while_nothing_happens(held: Held) -> None:
    looked = Looked(held)
    looked.bench.assign(Ledger(5))
    held.release_all()
    await looked.after(10)
    await looked.bench.run(records(range(5, 8)))
    await looked.after(10)
    assert looked.asked == []
    await looked.after(10)
    assert looked.asked == [{P0: 8}]


async def test_a_slow_model_within_its_deadline_is_never_ended(held: Held) -> None:
    """One ticket after the other, each as slow as the shortest limit that the settings allow just bears."""
    looked = Looked(held, in_flight=1)
    looked.lag = 100
    await looked.bench.feed(records(range(20)))
    for number in range(20):
        await held.wait_begun(number + 1)
        assert await looked.after(LIMIT_S - 10) is State.WAITING
        held.release(f"0-{number}")
        async with asyncio.timeout(30):
            while looked.bench.ledger.unfinished > 19 - number:
                await looked.bench.runner.next_change()
    assert looked.service.errors == []


async def test_an_outage_with_retries_is_never_ended(no_pauses: None) -> None:
    turn = asyncio.Event()

    async def down(ticket: Ticket) -> Sequence[Message]:
        await turn.wait()
        turn.clear()
        raise TryAgain("http_503", after=0.0)

    looked = Looked(down, attempts=8)
    await looked.bench.feed([record(0)])
    for _ in range(7):
        await loop_turns()
        assert await looked.after(LIMIT_S - 10) in {State.WAITING, State.PROGRESSING}
        before = looked.observer.signs[AGENT]
        turn.set()
        async with asyncio.timeout(30):
            while looked.observer.signs[AGENT] == before:
                await asyncio.sleep(0.01)
    assert looked.service.errors == []
    looked.bench.runner.cancel()


async def test_a_broker_that_is_away_or_acknowledges_nothing_is_waited_for(held: Held) -> None:
    looked = Looked(held)
    await looked.bench.feed(records(range(3)))
    await held.wait_begun(3)
    await looked.after(10)
    looked.lag = None
    assert await looked.after(20 * LIMIT_S) is State.HELD
    looked.lag = 4
    looked.bench.sender.acknowledge.clear()
    held.release_all()
    await looked.bench.sender.called.wait()
    assert await looked.after(20 * LIMIT_S) is State.HELD
    assert looked.service.errors == []
    looked.bench.sender.acknowledge.set()
    await looked.bench.runner.wait_idle(10)
    assert await looked.after(10) is State.PROGRESSING


async def test_a_paused_agent_is_never_ended_and_has_the_whole_limit_when_it_goes_on(held: Held) -> None:
    looked = Looked(held)
    looked.lag = 7
    looked.bench.runner.intake.hold()
    assert await looked.after(50 * LIMIT_S) is State.HELD
    looked.bench.runner.intake.release()
    assert await looked.after(LIMIT_S - 10) is State.WAITING
    assert looked.service.errors == []


async def test_a_rebalance_has_the_whole_limit_and_its_end_is_a_sign_of_life(held: Held) -> None:
    looked = Looked(held)
    await looked.after(10)
    looked.bench.revoke()
    assert not looked.watchdog.joined(AGENT)
    assert await looked.after(LIMIT_S - 10) is State.WAITING
    looked.bench.assign()
    looked.observer.rebalanced(AGENT, 1, 3.0)
    assert looked.watchdog.joined(AGENT)
    assert await looked.after(10) is State.PROGRESSING
    assert await looked.after(20 * LIMIT_S) is State.IDLE
    looked.bench.revoke()
    assert await looked.after(LIMIT_S + 10) is State.STALLED


async def test_a_worker_that_got_no_partition_is_idle(held: Held) -> None:
    looked = Looked(held, assigned=False)
    looked.observer.rebalanced(AGENT, 0, 0.1)
    assert looked.watchdog.joined(AGENT)
    assert await looked.after(20 * LIMIT_S) is State.IDLE


async def test_a_memory_that_reads_its_history_again_is_at_work(held: Held) -> None:
    looked = Looked(held)
    await looked.bench.feed(records(range(3)))
    for _ in range(30):
        looked.observer.replayed(AGENT)
        assert await looked.after(LIMIT_S - 10) is not State.STALLED
    looked.bench.runner.cancel()


def test_every_hook_that_says_something_happened_is_a_sign_of_life() -> None:
    observer = WatchedObserver()
    observer.handled(AGENT, [verdict("1")], 0.1)
    observer.retried(AGENT, "TryAgain")
    observer.skipped(AGENT, "known_id", 5)
    observer.rebalanced(AGENT, 2, 0.1)
    assert observer.signs[AGENT] == 4
    observer.in_flight(AGENT, 1, 1)
    observer.committed(AGENT, "t", 0, 1, 1)  # a commit that repeats the last one is no sign of anything
    assert observer.signs[AGENT] == 4
    assert isinstance(observer, MetricsObserver)
    assert observer.registry.get_sample_value("hedgerow_skipped_total", {"agent": AGENT, "why": "known_id"}) == 5


@given(st.floats(0.1, 1_700))
def test_no_limit_is_shorter_than_a_handler_may_take(deadline_s: float) -> None:
    assert WorkerSettings(handler_deadline_s=deadline_s).stalled_after_s > deadline_s + LONGEST_PAUSE_S


@pytest.mark.parametrize(("limit_s", "accepted"), [(150.0, False), (151.0, True), (3_600.0, True)])
def test_a_limit_that_would_end_a_slow_handler_is_refused_with_one_line(limit_s: float, accepted: bool) -> None:
    tier: dict[str, Any] = {"base_url": "http://127.0.0.1:1/v1"}
    values = {
        "labels": ["refund", "shipping"],
        "tiers": {"cheap": {**tier, "model": "gpt-4o-mini"}, "big": {**tier, "model": "gpt-4o"}},
        "worker": {"stall_limit_s": limit_s},
    }
    if accepted:
        assert check_settings(values, "x").worker.stalled_after_s == limit_s
        return
    with pytest.raises(SettingsError, match=r"stall_limit_s.*handler_deadline_s.*rebalance_timeout_s") as caught:
        check_settings(values, "x")
    assert len(str(caught.value).splitlines()) == 1


def test_the_default_limit_is_five_minutes() -> None:
    assert WorkerSettings().stalled_after_s == 300.0
