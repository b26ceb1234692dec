"""Calibration maps: from the confidence that a model shows to the share of such answers that are right.

A map never looks at anything but the one number, and a higher number never becomes a lower one. ``fit`` makes them.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas.signal import Probability


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
        # Without overflow on either side.
        return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0 else math.exp(odds) / (1.0 + math.exp(odds))


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


CalibrationMap = Annotated[Temperature | Isotonic, Field(discriminator="kind")]
