"""Codes that stand for labels, as the instructions give them."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=64)
def codes(instructions: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the code that the instructions give each label ("A = refund"), or the labels if they give none."""
    found = [re.search(rf"(?<!\w)([A-Z]{{1,2}}) = {re.escape(label)}(?=[,.])", instructions) for label in labels]
    return tuple(match[1] for match in found if match) if all(found) else labels
