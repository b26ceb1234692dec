"""Says which rows of a file were refused, and why."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from streams.cli.terminal import plain
from streams.core.wording import counted

if TYPE_CHECKING:
    from streams.kafka.ticket_rows import Refusals

#: How many refused lines are printed; --json has more of them.
_SHOWN = 20


def show_refused(refusals: Refusals, held: int, done: str, does: str) -> None:
    """Print what was refused, to standard error; ``held`` valid rows were not "sent" because of it, which --skip-bad "sends"."""
    if not refusals.count:
        return
    counts = ", ".join(f"{reason} {count}" for reason, count in refusals.reasons.most_common())
    rows = counted(held, "valid row was", "valid rows were")
    kept_back = f"; {rows} not {done}, --skip-bad {does} {'it' if held == 1 else 'them'}" if held else ""
    print(f"{counted(refusals.count, 'row')} refused ({counts}){kept_back}", file=sys.stderr)
    for refused in refusals.lines[:_SHOWN]:
        print(plain(f"line {refused.line}: {refused.reason}: {refused.detail}"), file=sys.stderr)
    if refusals.count > _SHOWN:
        print(f"and {refusals.count - _SHOWN} more", file=sys.stderr)


def refused_json(refusals: Refusals) -> dict[str, Any]:
    """Return the same for programs."""
    return {
        "refused": refusals.count,
        "reasons": dict(refusals.reasons),
        "lines": [asdict(each) for each in refusals.lines],
    }
