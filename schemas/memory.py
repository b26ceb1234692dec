"""What is remembered: labelled tickets with their embeddings."""

from __future__ import annotations

import math
import struct
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from schemas.base import Count, Message, Name, not_blank, stable_id

#: The longest text of an example in characters: more than what an embedding or a prompt takes of it. 50,000 of the longest
#: are 200 MB.
MAX_EXAMPLE_TEXT = 4_000
#: The most numbers in an embedding.
MAX_DIMENSIONS = 8_192
#: How far a vector's length may be from one: float16 rounds each number by a two-thousandth at most.
_ROUNDING = 0.01
_BYTES = 2

ExampleSource = Literal["file", "verdict"]


def _of_length_one(vector: bytes) -> bytes:
    """Refuse what is no vector of length one; infinity and NaN have no such length."""
    dimensions, rest = divmod(len(vector), _BYTES)
    if rest or not 0 < dimensions <= MAX_DIMENSIONS:
        raise ValueError(f"the vector is not 1 to {MAX_DIMENSIONS} numbers of {_BYTES} bytes")
    length = math.hypot(*struct.unpack(f"<{dimensions}e", vector))
    if not abs(length - 1) <= _ROUNDING:
        raise ValueError("the vector does not have length one")
    return vector


Vector = Annotated[bytes, AfterValidator(_of_length_one)]


class Example(Message):
    """A labelled ticket in the memory; key: example_id. The latest record of a key counts, and one without a value forgets."""

    example_id: Name
    ticket_id: Name | None = None
    """Of the ticket that it comes from, if that is known: it is never shown to a model about this very ticket."""
    text: Annotated[str, Field(max_length=MAX_EXAMPLE_TEXT), AfterValidator(not_blank)]
    """As it was after redaction."""
    label: Name | None
    """None: it fits none of the labels, it is out of scope."""
    slice: Name | None = None
    """A named part of the file that it comes from."""
    source: ExampleSource
    """Who labelled it: whoever made the file, or a reviewer."""
    by: Name
    """Who loaded the file, or the reviewer."""
    at_ms: Count
    """When that was, Unix time in milliseconds."""
    embedding_model: Name
    """What made the vector; vectors of different models cannot be compared."""
    vector: Vector
    """The text's embedding: float16, little-endian, of length one."""

    @staticmethod
    def id_for(ticket_id: str | None, text: str) -> str:
        """Return the id of a ticket's example, or, if the ticket is unknown, that of a text (after redaction).

        So a row that is loaded twice is one example, and a verdict replaces what was known of its ticket.
        """
        return ticket_id or f"text-{stable_id('example', text)[:16]}"
