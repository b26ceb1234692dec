"""Calibration maps: from what an answer shows to the share of such answers that are right.

Two kinds look at the confidence alone. The third weighs it with what a memory says of the ticket. A sign that speaks more
for an answer never lowers its probability. ``fit`` makes them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.signal import Probability

_MOST_NOVEL = 2.0
_LEAST_AGREED = -1.0
_CLIP = 1e-6
"""Of a confidence, before its log odds are taken: no single number decides alone."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one scored answer: the model's two numbers, and what the memory says of its ticket."""

    confidence: float
    entropy: float = 0.0
    """Nats."""
    novelty: float | None = None
    """0 to 2; None if no memory says anything, which counts as the most novel."""
    agreement: float | None = None
    """The share of the nearest labelled tickets with the answer's label; if most of them have another label, that label's
    share below zero. None if no memory says anything, which counts as -1."""
    neighbour_novelty: float | None = None
    """How unlike the nearest labelled tickets are to each other, 0 to 2; None if no memory says anything, which counts as 0:
    the ticket's own novelty weighs the most then."""

    @property
    def odds(self) -> float:
        """The log odds of the confidence, nats."""
        shown = min(1 - _CLIP, max(_CLIP, self.confidence))
        return math.log(shown) - math.log1p(-shown)

    @property
    def columns(self) -> tuple[float, float, float, float, float]:
        """The numbers that ``Logistic`` weighs, in the order of its weights."""
        return (
            self.odds,
            self.entropy,
            _MOST_NOVEL if self.novelty is None else self.novelty,
            _LEAST_AGREED if self.agreement is None else self.agreement,
            0.0 if self.neighbour_novelty is None else self.neighbour_novelty,
        )


class _Map(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Temperature(_Map):
    """Divides the log odds of a confidence by one temperature; above 1 it tempers, below 1 it sharpens.

    Temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2) of the two classes
    "this answer" and "anything else": what the API did not show stays doubt.
    """

    kind: Literal["temperature"] = "temperature"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    def __call__(self, confidence: float) -> float:
        """Return the calibrated probability; 0 and 1 stay what they are."""
        if confidence <= 0.0 or confidence >= 1.0:
            return min(1.0, max(0.0, confidence))
        odds = (math.log(confidence) - math.log1p(-confidence)) / self.temperature
        return _sigmoid(odds)

    def probability(self, evidence: Evidence) -> float:
        """Return the chance that the answer is right, by its confidence alone."""
        return self(evidence.confidence)


class Isotonic(_Map):
    """A rising line through knots: straight between them, flat beyond the last, falling to zero under the first.

    ``shown`` are confidences, strictly rising; ``right`` are the shares of right answers there, never falling. A doubt
    deeper than any that was seen in the records is not taken for as good as those: it may be about something else.
    """

    kind: Literal["isotonic"] = "isotonic"
    shown: Annotated[tuple[Probability, ...], Field(min_length=1)]
    right: Annotated[tuple[Probability, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _rising(self) -> Isotonic:
        if len(self.shown) != len(self.right):
            raise ValueError(f"{len(self.shown)} confidences need as many shares, not {len(self.right)}")
        if any(left >= right for left, right in pairwise(self.shown)):
            raise ValueError("the confidences must rise strictly")
        if any(left > right for left, right in pairwise(self.right)):
            raise ValueError("the shares must not fall")
        return self

    def __call__(self, confidence: float) -> float:
        """Return the calibrated probability."""
        place = bisect_right(self.shown, confidence)
        if place == len(self.shown):
            return self.right[-1]
        x0, y0 = (self.shown[place - 1], self.right[place - 1]) if place else (0.0, 0.0)
        x1, y1 = self.shown[place], self.right[place]
        # min: rounding must not lift a value over the next knot's.
        return min(y1, y0 + (y1 - y0) * ((confidence - x0) / (x1 - x0)))

    def probability(self, evidence: Evidence) -> float:
        """Return the chance that the answer is right, by its confidence alone."""
        return self(evidence.confidence)


Rising = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Falling = Annotated[float, Field(le=0, allow_inf_nan=False)]


class Logistic(_Map):
    """A logistic regression on all that is known of an answer (Platt 1999, "Probabilistic Outputs for Support Vector Machines").

    Its weights keep their signs: more confidence, agreement or distance between the neighbours never lowers the
    probability, more entropy or novelty never raises it. What no memory knows counts as the worst that a memory could say.
    """

    kind: Literal["logistic"] = "logistic"
    intercept: Annotated[float, Field(allow_inf_nan=False)]
    confidence: Rising
    """Weight of the log odds of the confidence."""
    entropy: Falling
    """Weight of a nat."""
    novelty: Falling
    agreement: Rising
    neighbour_novelty: Rising = 0.0

    @property
    def weights(self) -> tuple[float, float, float, float, float]:
        """The weights, in the order of ``Evidence.columns``."""
        return self.confidence, self.entropy, self.novelty, self.agreement, self.neighbour_novelty

    def probability(self, evidence: Evidence) -> float:
        """Return the chance that the answer is right."""
        return _sigmoid(
            self.intercept + sum(weight * x for weight, x in zip(self.weights, evidence.columns, strict=True))
        )


CalibrationMap = Annotated[Temperature | Isotonic | Logistic, Field(discriminator="kind")]


def _sigmoid(odds: float) -> float:
    # Without overflow on either side.
    return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1.0 + math.exp(odds))
