"""`river-page-hinkley`: the Page-Hinkley test of the river library on the LT series, a classical detector to compare with.

Each value of the series is LT's statistic between the older and the newer 24 of the last 48 usable rows (see `lt`). The
test adds up how far values lie above their mean so far, less an allowance, and alarms if that sum has risen by more
than a threshold (Page 1954). Only rises count: a change can only raise the statistic.

An alarm is followed by `lt`'s cool-down of 48 rows, whose values the test does not see, and then by a new beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from streams.core.drift.judgement import Judgement, NotEnough, Quiet
from streams.core.drift.lt.lt_detector import COOL_DOWN, WIDTH, window_alarm
from streams.core.drift.lt.sliding_statistic import SlidingStatistic
from streams.core.drift.row import ProbeRow
from streams.errors import SettingsError

if TYPE_CHECKING:
    from river.drift import PageHinkley

ALLOWANCE: Final = 0.005
"""Nats by which a value may exceed the mean without adding up."""

THRESHOLD: Final = 1.0
"""Nats, summed over values. The library's default of 50 is never reached by logprobs."""

WARM_UP: Final = 30
"""Values before the first decision."""


class PageHinkleyDetector:
    """Page-Hinkley on the LT series: ``statistic`` is the test's sum in nats, ``score`` that sum over its threshold."""

    name = "river-page-hinkley"

    def __init__(self) -> None:
        self._sliding = SlidingStatistic(WIDTH)
        self._test = _new_test()
        self._cool_down = 0

    def update(self, row: ProbeRow) -> Judgement:
        """Take the next usable row; an alarm belongs to it."""
        self._sliding.push(row)
        if self._cool_down:
            self._cool_down -= 1
            return Quiet(0.0, 0.0, THRESHOLD)
        if self._sliding.full:
            self._test.update(self._sliding.value)
        rows = len(self._sliding.rows) - 1 + max(1, self._values)
        if self._values < WARM_UP:
            return NotEnough(rows, 2 * WIDTH - 1 + WARM_UP)
        risen = self._test._sum_increase - self._test._min_increase
        if not self._test.drift_detected:
            return Quiet(risen, risen / THRESHOLD, THRESHOLD)
        self._test = _new_test()
        self._cool_down = COOL_DOWN
        return window_alarm(self._sliding.rows, risen, risen / THRESHOLD, THRESHOLD)

    def __getstate__(self) -> dict[str, Any]:
        # The test holds a method of itself, and a kept state holds no functions.
        test = {name: value for name, value in vars(self._test).items() if not callable(value)}
        return vars(self) | {"_test": test}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._test = _new_test()
        vars(self._test).update(state["_test"])

    @property
    def _values(self) -> int:
        return int(self._test._x_mean.n)


def _new_test() -> PageHinkley:
    try:
        from river.drift import PageHinkley  # a second or two to import, which no other detector should cost
    except ModuleNotFoundError:
        raise SettingsError(
            f"the detector {PageHinkleyDetector.name} needs river: pip install 'hedgerow[river]'"
        ) from None
    return PageHinkley(min_instances=WARM_UP, delta=ALLOWANCE, threshold=THRESHOLD, mode="up")
