"""Progress, idleness, waiting and standing still, from samples alone."""

from __future__ import annotations

from typing import Any

import pytest

from streams.observability.liveness import Progress, Sample, Standing, State

LIMIT_S = 100.0
STEP_S = 10.0


class Watched:
    """A stage that is sampled every ten seconds."""

    def __init__(self) -> None:
        self.progress = Progress(LIMIT_S)
        self.at_s = 0.0
        self.signs = 0

    def after(self, seconds: float = STEP_S, *, signs: int = 0, **seen: Any) -> Standing:
        """Sample every ten seconds, these many more signs of life in the first step, and return the last standing."""
        standing = Standing(State.IDLE)
        self.signs += signs
        for _ in range(round(seconds / STEP_S)):
            self.at_s += STEP_S
            standing = self.progress.update(Sample(self.at_s, self.signs, **seen))
        return standing


@pytest.fixture
def watched() -> Watched:
    found = Watched()
    assert found.after(signs=1).state is State.PROGRESSING
    return found


@pytest.mark.parametrize("work", [{"unfinished": 3}, {"lag": 1}, {"joined": False}])
def test_work_and_no_sign_of_life_for_the_limit_is_standing_still(watched: Watched, work: dict[str, Any]) -> None:
    assert watched.after(LIMIT_S - STEP_S, **work) == Standing(State.WAITING, LIMIT_S - STEP_S)
    assert watched.after(**work) == Standing(State.STALLED, LIMIT_S)


def test_one_sign_of_life_within_the_limit_is_enough(watched: Watched) -> None:
    for _ in range(5):
        assert watched.after(LIMIT_S - STEP_S, unfinished=1).state is State.WAITING
        assert watched.after(signs=1, unfinished=1) == Standing(State.PROGRESSING)


def test_nothing_to_do_is_never_standing_still(watched: Watched) -> None:
    assert watched.after(20 * LIMIT_S) == Standing(State.IDLE)
    # The limit begins with the work, not with the last sign of life.
    assert watched.after(LIMIT_S - STEP_S, lag=1).state is State.WAITING


@pytest.mark.parametrize("held", [{"lag": None}, {"held": True}])
def test_what_the_broker_holds_up_is_not_the_workers_fault(watched: Watched, held: dict[str, Any]) -> None:
    assert watched.after(20 * LIMIT_S, unfinished=3, **held) == Standing(State.HELD)
    assert watched.after(LIMIT_S - STEP_S, unfinished=3).state is State.WAITING
    assert watched.after(unfinished=3).state is State.STALLED


def test_a_process_that_was_frozen_has_its_whole_time_again(watched: Watched) -> None:
    watched.after(LIMIT_S / 2, unfinished=1)
    watched.at_s += 1_000
    assert watched.after(unfinished=1) == Standing(State.WAITING)
    assert watched.after(LIMIT_S - STEP_S, unfinished=1).state is State.WAITING
    assert watched.after(unfinished=1).state is State.STALLED


def test_standing_still_ends_with_a_sign_of_life(watched: Watched) -> None:
    assert watched.after(LIMIT_S, lag=5).state is State.STALLED
    assert watched.after(signs=1).state is State.PROGRESSING


def test_a_worker_without_a_partition_is_idle(watched: Watched) -> None:
    assert watched.after(5 * LIMIT_S, joined=True, unfinished=0, lag=0).state is State.IDLE
