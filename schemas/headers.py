"""What records carry in Kafka's headers, alongside messages of any version."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import ValidationError

from schemas.base import Count, Name, Value
from schemas.results import Note
from schemas.tickets import Run

#: On a message that was redriven: the id of its dead letter.
LETTER_HEADER = "hedgerow-letter"
#: On a dead letter that is written again: a `Closing` as JSON.
CLOSING_HEADER = "hedgerow-closing"

#: On a record without a value on ``memory``: who forgot the example.
FORGOTTEN_BY_HEADER = "hedgerow-forgotten-by"

Header = tuple[str, bytes]
ClosingState = Literal["redriving", "redriven", "rerun", "discarded"]


class Closing(Value):
    """How a dead letter was closed, or that it is being redriven.

    The letter is written again under its key with this in its headers; the latest one of a key counts.
    """

    state: ClosingState
    """``rerun``: its ticket was sent again, with its latest text; ``redriven``: the message itself."""
    by: Name
    """Who closed it."""
    at_ms: Count
    """Unix time in milliseconds."""
    note: Note = ""
    run: Run | None = None
    """The number of the run that the original was sent with."""

    def header(self) -> Header:
        """Return it as a header."""
        return CLOSING_HEADER, self.__pydantic_serializer__.to_json(self, exclude_none=True)

    @classmethod
    def of(cls, headers: Iterable[Header]) -> Closing | None:
        """Return what these headers say; None if they say nothing that this release can read."""
        try:
            return next((cls.model_validate_json(value) for name, value in headers if name == CLOSING_HEADER), None)
        except ValidationError:
            return None
