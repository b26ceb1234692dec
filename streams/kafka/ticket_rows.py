"""Checks rows before they are sent: an invalid ticket is refused with its line and a reason, and without its text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas import MAX_NAME, InvalidMessage, Ticket
from schemas.base import MAX_METADATA
from schemas.registry import TICKET_BYTES

#: How many refused lines are kept with their details; all are counted.
MAX_KEPT = 100_000
#: How many labels are counted by name; no pipeline has as many.
MAX_LABELS = 10_000
_OTHERS = "(others)"
TOO_LARGE = "too_large"
TOO_LARGE_DETAIL = f"larger than the {TICKET_BYTES} bytes that the tickets topic takes"
#: A name in the metadata comes from outside, and pydantic's message quotes it.
_METADATA = (
    f"metadata: names of 1 to {MAX_NAME} characters are expected, with texts of at most {MAX_METADATA}, numbers, "
    "true, false or null"
)


class Fault(NamedTuple):
    """Why a row is refused: a short name to count by, and what is wrong."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """One row that is refused."""

    line: int
    reason: str
    detail: str


@dataclass(slots=True)
class Refusals:
    """All rows that are refused, counted by reason; the first of them by line."""

    reasons: Counter[str] = field(default_factory=Counter)
    lines: list[Refused] = field(default_factory=list)
    _faults: dict[Fault, Fault] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many rows are refused."""
        return self.reasons.total()

    def add(self, line: int, fault: Fault) -> None:
        """Count one row."""
        self.reasons[fault.reason] += 1
        if len(self.lines) < MAX_KEPT:
            # Thousands of rows with one fault share its text.
            reason, detail = self._faults.setdefault(fault, fault)
            self.lines.append(Refused(line, reason, detail))


def judge(row: bytes) -> Ticket | Fault:
    """Return a row's ticket, or why it cannot be sent as one."""
    if len(row) > TICKET_BYTES:
        return Fault(TOO_LARGE, TOO_LARGE_DETAIL)
    try:
        return Ticket.decode(row)
    except InvalidMessage as invalid:
        detail = str(invalid)
        if detail.startswith("metadata."):
            detail = _METADATA
        # The parser counts lines from the row: its first line is the file's line, which is named with it.
        return Fault(invalid.reason, detail.replace(" at line 1 column ", " at column "))


def good_rows(
    rows: Iterable[tuple[int, bytes | Fault]], refusals: Refusals, labels: Counter[str] | None = None
) -> Iterator[tuple[int, bytes]]:
    """Yield the rows that can be sent, each with its line number; the others are added to ``refusals``.

    A row that could not be read comes as its fault. The gold labels of the rows that can be sent are counted in ``labels``.
    """
    for line, row in rows:
        if isinstance(row, Fault):
            refusals.add(line, row)
        elif isinstance(judged := judge(row), Fault):
            refusals.add(line, judged)
        else:
            if labels is not None and judged.label is not None:
                labels[judged.label if judged.label in labels or len(labels) < MAX_LABELS else _OTHERS] += 1
            yield line, row
