"""How surprising a ticket's text is, on both sides: too little surprise is pasted boilerplate, too much is no message.

The mean surprise of a text, -ln P(token | what stands before it), is small for what a language model knows by heart and
large for what nobody writes. A long honest text hides a short adversarial suffix in its mean, so the most surprising
window of neighbouring tokens is judged by itself (Alon and Kamfonas 2023, "Detecting Language Model Attacks with
Perplexity"; Jain et al. 2023, "Baseline Defenses for Adversarial Attacks", the windowed filter).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.perplexity import Measured, NoPerplexity, Perplexity, Unmeasured
from schemas.signal import Nats
from streams.core.signal.prompt_logprobs import read_prompt

#: A token counts for no more surprise than this, so that one odd character does not stand for a whole text; a floor,
#: which stands for a probability too small to be told, counts for as much.
MOST_SURPRISE = 25.0


class PerplexityRule(BaseModel):
    """When a text's surprise sends its ticket to a reviewer, nats a token. Without a limit it is only measured.

    The figures belong to one language model: ``fit_rule`` takes them from measured messages.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_tokens: Annotated[int, Field(ge=2)] = 8
    """A text with fewer is not judged: real ones of a few words are as surprising as nonsense."""
    window_tokens: Annotated[int, Field(ge=2)] = 8
    usual: Nats | None = None
    """The mean surprise of an ordinary message, where the risk is 0; needed by every limit."""
    low: Nats | None = None
    """A mean of no more than this is suspicious: boilerplate, a template, a known text."""
    high: Nats | None = None
    """A mean of no less than this is suspicious: gibberish, another language, code."""
    window: Nats | None = None
    """A window with a mean of no less than this is suspicious: an adversarial suffix."""
    review_risk: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """At or above this risk a reviewer looks at the ticket; a risk of 1 is a text at a limit."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        limits = [limit for limit in (self.low, self.high, self.window) if limit is not None]
        if limits and self.usual is None:
            raise ValueError("the limits low, high and window need usual, the surprise of an ordinary message")
        above = [limit for limit in (self.high, self.window) if limit is not None]
        if self.usual is not None and not ((self.low or 0.0) < self.usual < min(above, default=math.inf)):
            raise ValueError("low must be less than usual, and usual less than high and window")
        return self


class PerplexityReason(StrEnum):
    """Why a text is too strange, or too well known, for a model to decide, as it stands in messages and metrics."""

    LOW = "perplexity_low"
    """The mean surprise is at or below the rule's ``low``."""
    HIGH = "perplexity_high"
    """The mean surprise is at or above the rule's ``high``."""
    WINDOW = "perplexity_window"
    """The worst window's mean surprise is at or above the rule's ``window``."""


@dataclass(frozen=True, slots=True)
class Risk:
    """How suspicious a text is: 0 is ordinary, 1 is at a limit; with the limits that it goes over."""

    score: float
    reasons: tuple[PerplexityReason, ...] = ()


def read_perplexity(body: object, text: str, rule: PerplexityRule) -> Perplexity:
    """Return the surprise of ``text`` from the body of a response that was asked for its logprobs. Never raises."""
    logprobs = read_prompt(body, text)
    return logprobs if isinstance(logprobs, Unmeasured) else measure(logprobs, rule)


def measure(logprobs: Sequence[float], rule: PerplexityRule) -> Perplexity:
    """Return the mean surprise of tokens with these logprobs (nats; -inf for a floor), and of their worst window."""
    if len(logprobs) < rule.min_tokens:
        detail = f"the text has {len(logprobs)} of the {rule.min_tokens} tokens with a logprob that are needed"
        return Unmeasured(reason=NoPerplexity.TOO_SHORT, detail=detail)
    surprises = [min(-logprob, MOST_SURPRISE) for logprob in logprobs]
    return Measured(
        tokens=len(surprises),
        mean=sum(surprises) / len(surprises),
        window=_worst_window(surprises, rule.window_tokens),
        window_tokens=rule.window_tokens,
    )


def risk(rule: PerplexityRule, perplexity: Perplexity) -> Risk:
    """Return the risk of a text: the largest of its sides', each linear from the usual surprise (0) to its limit (1).

    The largest and not a sum: a mean that is high and a window that is high are the same evidence twice. A text that
    was not measured has no risk.
    """
    if not isinstance(perplexity, Measured) or rule.usual is None:
        return Risk(0.0)
    sides = {
        PerplexityReason.LOW: _share(perplexity.mean, rule.usual, rule.low),
        PerplexityReason.HIGH: _share(perplexity.mean, rule.usual, rule.high),
        PerplexityReason.WINDOW: _share(perplexity.window, rule.usual, rule.window),
    }
    reasons = tuple(reason for reason, side in sides.items() if side >= rule.review_risk)
    return Risk(max(sides.values()), reasons)


def fit_rule(ordinary: Sequence[Measured], *, flagged: float = 0.01, min_tokens: int = 8) -> PerplexityRule:
    """Return the rule whose limits each flag about the share ``flagged`` of these ordinary messages.

    Raises ValueError for fewer than 1 / ``flagged`` messages, whose tails say nothing, and for windows that differ.
    """
    windows = sorted(each.window for each in ordinary if each.window is not None)
    sizes = {each.window_tokens for each in ordinary}
    if min(len(ordinary), len(windows)) * flagged < 1:
        raise ValueError(f"{1 / flagged:.0f} messages or more are needed, {len(windows)} have a window")
    if len(sizes) > 1:
        raise ValueError(f"the messages were measured with windows of {sorted(sizes)} tokens")
    means = sorted(each.mean for each in ordinary)
    return PerplexityRule(
        min_tokens=min_tokens,
        window_tokens=sizes.pop(),
        usual=_quantile(means, 0.5),
        low=_quantile(means, flagged),
        high=_quantile(means, 1 - flagged),
        window=_quantile(windows, 1 - flagged),
    )


def _worst_window(surprises: Sequence[float], length: int) -> float | None:
    if len(surprises) < length:
        return None
    sums = list(accumulate(surprises, initial=0.0))
    return max(end - begin for begin, end in zip(sums, sums[length:], strict=False)) / length


def _share(value: float | None, usual: float, limit: float | None) -> float:
    """Return how far the value is on the way from usual to the limit; 0 on the other side of usual."""
    if value is None or limit is None:
        return 0.0
    return max(0.0, (value - usual) / (limit - usual))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Return the quantile with straight lines between the order statistics."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])
