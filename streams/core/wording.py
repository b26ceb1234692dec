"""Numbers in sentences."""

from __future__ import annotations


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: "1 ticket", "2 tickets"; ``plural`` is for nouns that take more than an "s"."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
