"""From a response body of any provider to a signal: the answer, its tokens, and how sure the model was."""

from __future__ import annotations

from streams.core.signal.align import align
from streams.core.signal.alternatives import Alternatives, alternatives
from streams.core.signal.answer import Answer, Finish, Token
from streams.core.signal.read import no_text, read_answer
from streams.core.signal.thought import answer_part

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
