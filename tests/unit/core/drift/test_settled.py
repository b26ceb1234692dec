"""The settled value of a field, and the watchers that stand on it."""

from __future__ import annotations

import random

import pytest

from streams.core.drift.contract_watch import MISSING_RUN, ContractWatcher, MissingWatcher
from streams.core.drift.judgement import Kind
from streams.core.drift.row import ProbeRow, Reason, Unusable
from streams.core.drift.settled import FIRST, LONG_RUN, MEMORY, RUN, Resettled, Settled
from streams.core.drift.window import same_k


def changes(values: list[int]) -> list[tuple[int, Resettled[int]]]:
    settled: Settled[int] = Settled(same_k)
    return [(index, change) for index, value in enumerate(values) if (change := settled.update(value))]


def test_a_new_value_settles_with_its_third_row_and_once() -> None:
    assert changes([20] * 40 + [5] * 60) == [(40 + RUN - 1, Resettled(20, 5, RUN))]


def test_fewer_rows_of_another_value_settle_nothing() -> None:
    assert changes([20] * 40 + [5] * (RUN - 1) + [20] * 100 + [5] + [20] * 60) == []


def test_the_first_value_is_the_most_frequent_of_the_first_rows() -> None:
    assert changes([5, 5, 5] + [20] * 60) == []
    assert changes([20] * FIRST + [5] * RUN) == [(FIRST + RUN - 1, Resettled(20, 5, RUN))]


def test_an_endpoint_that_alternates_has_not_changed() -> None:
    rng = random.Random(1)
    assert changes([rng.choice([20, 20, 5]) for _ in range(3000)]) == []


def test_a_value_seen_lately_settles_after_a_long_run() -> None:
    assert changes([20] * 30 + [5] + [20] * 10 + [5] * 40) == [(41 + LONG_RUN - 1, Resettled(20, 5, LONG_RUN))]
    assert changes([20] * 30 + [5] + [20] * MEMORY + [5] * 40)[0][1].run == RUN


@pytest.mark.parametrize(("k", "other", "same"), [(20, 18, True), (20, 17, False), (5, 4, False), (20, 20, True)])
def test_a_k_may_vary_by_a_tenth(k: int, other: int, same: bool) -> None:
    assert same_k(k, other) is same
    assert same_k(other, k) is same


def row(k: int = 3, model: str | None = None, fingerprint: str | None = None) -> ProbeRow:
    tokens = tuple(f"t{n}" for n in range(k))
    return ProbeRow(tokens, tuple(-1.0 - n for n in range(k)), model=model, fingerprint=fingerprint)


def test_each_change_of_the_contract_has_a_kind_of_its_own() -> None:
    watcher = ContractWatcher()
    rows = [row(20, "m-1", "a")] * 30 + [row(5, "m-2", "a")] * 30 + [row(5, "m-2", "b")] * 30
    alarms = [alarm for one in rows for alarm in watcher.update(one)]
    assert [(alarm.kind, alarm.was, alarm.now, alarm.score) for alarm in alarms] == [
        (Kind.K_CHANGE, 20, 5, 3.0),
        (Kind.MODEL_CHANGE, "m-1", "m-2", 3.0),
        (Kind.FINGERPRINT_CHANGE, "a", "b", 3.0),
    ]
    assert alarms[0].statistic == 5.0


def test_rows_without_a_model_or_fingerprint_say_nothing_about_them() -> None:
    watcher = ContractWatcher()
    rows = [row(3, "m-1")] * 30 + [row(3)] * 30 + [row(3, "m-1")] * 30
    assert [alarm for one in rows for alarm in watcher.update(one)] == []


def test_a_run_of_missing_logprobs_is_one_alarm() -> None:
    watcher = MissingWatcher()
    missing, error, empty = Unusable(Reason.MISSING), Unusable(Reason.ERROR), Unusable(Reason.EMPTY)
    found = [watcher.update(one) for one in [row(), missing, missing, error, empty, missing, missing, missing, missing]]
    assert [len(alarms) for alarms in found] == [0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert (found[6][0].kind, found[6][0].statistic) == (Kind.MISSING, float(MISSING_RUN))
    again = [watcher.update(one) for one in [row(), *[missing] * MISSING_RUN]]
    assert [len(alarms) for alarms in again] == [0] * MISSING_RUN + [1]


@pytest.mark.parametrize("reason", [Reason.ERROR, Reason.POSITIVE, Reason.NOT_FINITE, Reason.CLOCK_BACK])
def test_other_unusable_rows_are_not_missing(reason: Reason) -> None:
    watcher = MissingWatcher()
    assert [alarm for _ in range(20) for alarm in watcher.update(Unusable(reason))] == []
