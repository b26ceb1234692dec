"""When a run of breaches is more than chance, for one use at a time."""

from __future__ import annotations

from streams.core.guards.contract_change import Changes, use_name
from streams.core.guards.limits import GuardLimits
from streams.core.guards.rates import Rates

LIMITS = GuardLimits(window=100, run=20, trials_to_close=3)
NAME = "logprobs_null"


class Watched:
    def __init__(self) -> None:
        self.rates = Rates(LIMITS.window)
        self.changes = Changes(self.rates, LIMITS)

    def broke(self, count: int) -> list[int]:
        """Return the lengths at which the run was one that chance does not make."""
        found = []
        for _ in range(count):
            self.rates.push({NAME, use_name("accept")}, learn=False)
            run = self.changes.broke("accept", [NAME])
            if run is not None:
                found.append(run.length)
        return found


def test_a_run_is_judged_from_its_least_length_on() -> None:
    assert Watched().broke(25) == [20, 21, 22, 23, 24, 25]


def test_a_whole_window_is_a_change_whatever_the_history_says() -> None:
    watched = Watched()
    for number in range(2000):
        watched.rates.push({NAME, use_name("accept")} if number % 20 else ())
    watched.rates.forget_window()
    assert watched.broke(101) == [100, 101]


def test_a_call_that_keeps_the_contract_ends_the_run() -> None:
    watched = Watched()
    watched.broke(19)
    assert watched.changes.kept([]) == []
    assert watched.broke(19) == []


def test_a_change_is_over_after_as_many_kept_calls_in_a_row_as_there_are_trials() -> None:
    watched = Watched()
    watched.broke(20)
    assert watched.changes.broken == {NAME}
    assert [watched.changes.kept([]) for _ in range(2)] == [[], []]
    watched.broke(1)
    assert [watched.changes.kept([]) for _ in range(3)] == [[], [], ["accept"]]
    assert not watched.changes
    assert watched.rates.count(NAME) == watched.rates.count(use_name("accept")) == 0


def test_uses_are_judged_apart() -> None:
    watched = Watched()
    for _ in range(20):
        watched.changes.kept(["spend"])  # it broke what costs are counted from, and kept what is accepted by
        watched.changes.broke("spend", ["usage_missing"])
    assert watched.changes.broken == {"usage_missing"}
    assert watched.changes.forget() == ["spend"]
