"""How surprising a ticket's own text is to a language model, or the typed reason why that cannot be known."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import MAX_INTEGER, Value
from schemas.signal import Nats


class NoPerplexity(StrEnum):
    """Why a text's perplexity cannot be known. None of them says anything about the text."""

    NO_ANSWER = "no_answer"
    """The call failed: no response body to read."""
    CAPABILITY = "capability"
    """The endpoint says that it gives no prompt logprobs."""
    REQUEST_REFUSED = "request_refused"
    """The endpoint refuses this request, such as a text longer than its context."""
    UNREADABLE = "unreadable"
    """The body is no JSON object, or an error."""
    ABSENT = "absent"
    """The body has no logprobs of the prompt, or null in their place."""
    NOT_THE_PROMPT = "not_the_prompt"
    """The tokens do not spell the text: the server ignored the wish and gave the logprobs of its answer."""
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - a token of text
    """Several tokens are listed at a position, and nothing says which of them is the prompt's."""
    INCOMPLETE = "incomplete"
    """A token of the text has no logprob, or none of them has a real one."""
    IMPOSSIBLE_LOGPROB = "impossible_logprob"
    """A logprob above zero, or text where a number belongs."""
    TOO_SHORT = "too_short"
    """The text has too few tokens for their mean to mean anything."""


class Measured(Value):
    """The surprise of a text, nats a token: the mean of -ln P(token | the tokens before it)."""

    status: Literal["measured"] = "measured"
    tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """How many of the text's tokens have a logprob; the first one may have none."""
    mean: Nats
    """The perplexity is its exponential."""
    window: Nats | None = None
    """The mean over the most surprising window of ``window_tokens`` neighbours; None for a shorter text."""
    window_tokens: Annotated[int, Field(ge=1, le=MAX_INTEGER)]


class Unmeasured(Value):
    """A text without a usable measurement, and why."""

    status: Literal["unmeasured"] = "unmeasured"
    reason: Annotated[NoPerplexity | str, Field(union_mode="left_to_right")]
    """One of NoPerplexity, or a name that a newer writer knows."""
    detail: str = ""
    """One line for a reader; never the ticket's text, never a secret."""


Perplexity = Annotated[Measured | Unmeasured, Field(discriminator="status")]
