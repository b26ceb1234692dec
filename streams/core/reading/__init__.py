"""Finding the answer and its tokens in a response body of any provider."""

from __future__ import annotations

from streams.core.reading.align import align
from streams.core.reading.alternatives import Alternatives, alternatives
from streams.core.reading.answer import Answer, Finish, Token
from streams.core.reading.read import no_text, read_answer
from streams.core.reading.thought import answer_part

__all__ = [
    "Alternatives",
    "Answer",
    "Finish",
    "Token",
    "align",
    "alternatives",
    "answer_part",
    "no_text",
    "read_answer",
]
