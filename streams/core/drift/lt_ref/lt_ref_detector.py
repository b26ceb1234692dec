"""`lt-ref`: every row against a fixed reference, with thresholds for each endpoint.

**Reference.** The first 100 usable rows (`fixed_reference`); decisions begin with the next one.

**After an alarm** the rows since the change are a provisional reference (`provisional_reference`): from the ninth of them
on another sudden change is seen. For 24 rows it is a trial. If the rows come back to the reference that they left, that one
stays, without another alarm: a glitch, or a false alarm. Once there are 100 rows, they are the reference.

**Returns.** The last three references that were left are remembered. If the rows since a change are like one of them, the
alarm says ``returned``, and that reference goes on. The second return in succession between the same two says
``alternating``, with the times of the swaps; those that follow are no alarms, until one of the two has stayed for 200 rows or
something new comes. A glitch counts as a return.

**Changes of k.** Reference and rows are compared at the largest k that both reach; when another k has settled, the
reference is refitted at it. Rows that are shorter before that are no samples (``few_tokens``).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Final

from streams.core.drift.judgement import Alarm, Judgement, Kind, NotEnough
from streams.core.drift.lt_ref.alternation import Alternation
from streams.core.drift.lt_ref.compared import Comparison
from streams.core.drift.lt_ref.fixed_reference import FIRST_FIT, FixedReference
from streams.core.drift.lt_ref.jump import WINDOW
from streams.core.drift.lt_ref.provisional_reference import FEWEST, ProvisionalReference
from streams.core.drift.row import ProbeRow, Reason, Unusable
from streams.core.drift.settled import Settled
from streams.core.drift.window import same_k, span

TRIAL: Final = 24
"""Rows after an alarm in which rows that come back to the reference make it a glitch."""

REMEMBERED: Final = 3
"""References that were left and may come back."""

FALSE_ALARM_RATE: Final = 1e-4
"""Alarms per row of a quiet endpoint that the thresholds aim at."""

Reference = FixedReference | ProvisionalReference


class LtRefDetector:
    """The reference detector; ``score`` is a statistic over its threshold, so that anything above 1 alarms."""

    name = "lt-ref"

    def __init__(self, false_alarm_rate: float = FALSE_ALARM_RATE) -> None:
        self._false_alarm_rate = false_alarm_rate
        self._k: Settled[int] = Settled(same_k)
        self._first: list[ProbeRow] = []
        self._reference: Reference | None = None
        self._left: Reference | None = None
        """The reference of before the last alarm, while its trial lasts."""
        self._trial = 0
        self._earlier: deque[Reference] = deque(maxlen=REMEMBERED)
        """The references that were left, the latest last."""
        self._alternation = Alternation()

    def update(self, row: ProbeRow) -> Judgement:
        """Take the next usable row; an alarm belongs to it."""
        if self._k.update(row.k):
            for reference in (self._reference, *self._earlier):
                if reference is not None:
                    reference.fit(self._k.value)
        if self._reference is None:
            self._first.append(row)
            needed = NotEnough(len(self._first), FIRST_FIT + 1)
            if len(self._first) == FIRST_FIT:
                self._reference = self._complete(self._first)
                self._first = []
            return needed
        if not self._reference.comparable(row):
            return Unusable(Reason.FEW_TOKENS, row.facts)
        return self._judge(self._reference, row)

    def _complete(self, rows: list[ProbeRow]) -> FixedReference:
        return FixedReference(rows, self._k.value, self._false_alarm_rate)

    def _judge(self, reference: Reference, row: ProbeRow) -> Judgement:
        self._alternation.wait()
        comparison = reference.update(row)
        before = self._compare_with_left(row)
        if comparison is None:
            return before.quiet() if before else NotEnough(len(reference.rows), FEWEST + WINDOW)
        if comparison.passes:
            alarm, after = reference.alarm(comparison)
            # The first of the rows may still be one of before the change.
            known = next((each for each in reversed(self._earlier) if each.matches(after[1:] or after)), None)
            if known is None:
                self._leave(reference, alarm, after)
                return alarm
            return self._return(reference, known, alarm, after) or comparison.quiet()
        if isinstance(reference, ProvisionalReference) and len(reference.rows) >= FIRST_FIT and self._left is None:
            self._reference = self._complete(reference.rows)
        return comparison.quiet()

    def _return(self, reference: Reference, known: Reference, alarm: Alarm, after: list[ProbeRow]) -> Alarm | None:
        """Go back from one reference to an earlier one; the alarm that says so, if it is news."""
        is_glitch, is_last = known is self._left, known is self._earlier[-1]
        matched = span(known.rows)
        self._go_back(known, after)
        self._earlier.append(reference)
        kind = self._alternation.returned(after[0].facts.at, is_last)
        if kind is None or is_glitch:
            return None
        swaps = self._alternation.swaps if kind is Kind.ALTERNATING else ()
        return replace(alarm, kind=kind, matched=matched, swaps=swaps)

    def _leave(self, reference: Reference, alarm: Alarm, after: list[ProbeRow]) -> None:
        """Begin again with the rows since a change; of a slow movement only the last is anything like what follows."""
        rows = after if alarm.kind is Kind.CHANGE else after[-1:]
        noise = reference.rows if isinstance(reference, FixedReference) else reference.noise
        self._left, self._trial = reference, TRIAL
        self._earlier.append(reference)
        self._alternation.left(after[0].facts.at)
        self._reference = ProvisionalReference(rows, noise, self._k.value, self._false_alarm_rate)

    def _go_back(self, known: Reference, rows: list[ProbeRow]) -> None:
        self._reference, self._left = known, None
        self._earlier.remove(known)
        known.resume(rows)

    def _compare_with_left(self, row: ProbeRow) -> Comparison | None:
        """One row of a trial; at its end the reference that was left stays if the rows came back to it."""
        left, since = self._left, self._reference
        if left is None or since is None:
            return None
        comparison = left.update(row) if isinstance(left, FixedReference) and left.comparable(row) else None
        self._trial -= 1
        if self._trial == 0:
            self._left = None
            if left.is_back(since.rows):
                self._go_back(left, since.rows)
        return comparison
