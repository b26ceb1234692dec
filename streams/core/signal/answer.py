"""What a response body says: the answer, its tokens or why there are none, and who answered at what cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from schemas.signal import Unscorable

#: How the answer ended, in one vocabulary for all providers; None if the body does not say.
Finish = Literal["stop", "length", "cut", "filter", "tool", "refusal", "error"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the answer."""

    text: str | None
    """What the token spells; None if the response gives a number instead (see ``reading.pieces``)."""
    logprob: float | None
    """Nats, never above 0; -inf for a floor (a number that stands for "not computed"), None for null or missing."""
    listed: object = None
    """The alternatives as they came back; read them with ``reading.alternatives``."""
    byte_level: bool = False
    """Whether the alternatives are in the alphabet of byte-level BPE, as the token was (``text`` is decoded)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One response body, read."""

    tokens: tuple[Token, ...] | Unscorable
    """The generated tokens in order, or why they cannot be used."""
    text: str | None = None
    """The answer's text; it may be there although ``tokens`` is Unscorable."""
    thought: str | None = None
    """The reasoning that stands in a separate field."""
    finish: Finish | None = None
    shape: str | None = None
    """Where the answer was found: chat, legacy, responses, gemini, message, generate, native, blocks, sglang, tgi, watsonx or
    bedrock."""
    model: str | None = None
    """The model that the body says it is from, cut to 256 characters."""
    fingerprint: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
