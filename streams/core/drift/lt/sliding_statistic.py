"""The LT statistic of a sliding pair of windows, kept up to date row by row.

Equal to ``lt_statistic`` of the last ``2 * width`` rows at every row (to 1e-9), while touching only the three rows that
enter, change or leave a window.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np
from numpy.typing import NDArray

from streams.core.drift.row import ProbeRow
from streams.core.drift.window import Matrix, common_k, union

GRID: Final = 2.0**32
"""Logprobs enter as multiples of 2**-32 nats (an error of 1.2e-10 at most). Sums of such multiples are exact in double
precision, so that the running sums neither drift nor depend on which row the statistic began with."""


class SlidingStatistic:
    """The statistic between the older and the newer ``width`` of the last ``2 * width`` rows.

    A row is held as its excess over its own minimum, zero if a token is absent. A window's censored mean is then the
    mean of the minima plus the mean excess. So a token that appears late needs no second look at older rows.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self.rows: deque[ProbeRow] = deque(maxlen=2 * width)
        self._k = 0
        self._column: dict[str, int] = {}
        self._excess: Matrix = np.zeros((2 * width, 0))
        self._listed: NDArray[np.bool_] = np.zeros((2 * width, 0), dtype=np.bool_)
        self._minima: Matrix = np.zeros(2 * width)
        self._oldest = 0
        # Of the sums over the older window and those over the newer one:
        self._excess_difference: Matrix = np.zeros(0)
        self._minima_difference = 0.0
        self._listings: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    @property
    def full(self) -> bool:
        """Whether both windows are full."""
        return len(self.rows) == 2 * self._width

    @property
    def value(self) -> float:
        """The statistic in nats; it has a meaning once ``full``."""
        shifts = np.abs(self._excess_difference + self._minima_difference)[self._listings > 0]
        return float(shifts.sum()) / (self._width * len(shifts))

    def push(self, row: ProbeRow) -> None:
        """Take the next row; the oldest leaves once the windows are full."""
        was_full = self.full
        self.rows.append(row)
        if not self.full:
            return
        if was_full and common_k(self.rows) == self._k and self._has_columns(row):
            self._slide(row)
        else:
            self._lay_out()

    def _has_columns(self, row: ProbeRow) -> bool:
        """Give the row's new tokens a spare column each, while there are any."""
        for token in row.tokens[: self._k]:
            if token not in self._column:
                if len(self._column) == self._excess.shape[1]:
                    return False
                self._column[token] = len(self._column)
        return True

    def _slide(self, row: ProbeRow) -> None:
        """Move both windows by one row; the new row takes the line of the oldest."""
        line, middle = self._oldest, (self._oldest + self._width) % (2 * self._width)
        self._excess_difference += 2.0 * self._excess[middle] - self._excess[line]
        self._minima_difference += 2.0 * float(self._minima[middle]) - float(self._minima[line])
        self._listings -= self._listed[line]
        self._write(line, row)
        self._excess_difference -= self._excess[line]
        self._minima_difference -= float(self._minima[line])
        self._listings += self._listed[line]
        self._oldest = (line + 1) % (2 * self._width)

    def _write(self, line: int, row: ProbeRow) -> None:
        columns = [self._column[token] for token in row.tokens[: self._k]]
        logprobs = np.rint(np.asarray(row.logprobs[: self._k]) * GRID) / GRID
        self._excess[line] = 0.0
        self._excess[line, columns] = logprobs - logprobs[-1]
        self._listed[line] = False
        self._listed[line, columns] = True
        self._minima[line] = logprobs[-1]

    def _lay_out(self) -> None:
        """Lay the rows out again, with a column for each token that they hold and as many to spare."""
        self._k = common_k(self.rows)
        self._column = {token: index for index, token in enumerate(union(self.rows, self._k))}
        shape = (2 * self._width, 2 * len(self._column))
        self._excess, self._listed = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        for line, row in enumerate(self.rows):
            self._write(line, row)
        self._oldest = 0
        older, newer = slice(None, self._width), slice(self._width, None)
        self._excess_difference = self._excess[older].sum(axis=0) - self._excess[newer].sum(axis=0)
        self._minima_difference = float(self._minima[older].sum() - self._minima[newer].sum())
        self._listings = self._listed.sum(axis=0)
