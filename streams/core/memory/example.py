"""A labelled ticket in the memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A ticket whose label is known. ``label`` is None if it fits none of them: it is out of scope."""

    id: str
    ticket_id: str | None
    """Of the ticket that it comes from, if that is known: it is never shown to a model about this very ticket."""
    text: str
    label: str | None
