"""Gold labels that no answer can have."""

from __future__ import annotations

import sys
from collections import Counter

from streams.cli.terminal import plain
from streams.core.wording import counted

#: How many of them are named.
_NAMED = 20


def warn_of_unknown(unknown: Counter[str], names: str) -> None:
    """Say on standard error which labels of rows ``names``, what names the labels, does not have."""
    if unknown:
        named = ", ".join(f"{label} {count}" for label, count in unknown.most_common(_NAMED))
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        rows = counted(unknown.total(), "row has a label", "rows have labels")
        print(
            plain(f"warning: {rows} that {names} does not name ({named}{more}): no answer to them can be right"),
            file=sys.stderr,
        )
