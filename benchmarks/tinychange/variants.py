"""Which changes are made to a model, by family and level: the paper's (arXiv 2512.03816), and two of our own."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Family(StrEnum):
    """A way to change a model."""

    NOISE = "noise"
    SMALLEST = "smallest pruned"
    RANDOM = "random pruned"
    TUNING = "fine-tuned"
    LORA = "LoRA"
    REQUANTISED = "requantised"
    FEW = "few pruned"
    """At random as well, but fewer than the paper's: what lies between its finest levels and nothing."""
    STEPS = "steps of noise"
    """Noise measured in each weight's own steps in half precision: the next number above or below is one away."""


OURS: Final = (Family.REQUANTISED, Family.FEW, Family.STEPS)
"""Families that the paper does not have."""

RANK: Final = 8
ALPHA: Final = 8.0
"""LoRA adds ALPHA / RANK times the product of its two factors."""

_HALVINGS: Final = {
    Family.NOISE: range(16), Family.SMALLEST: range(11), Family.RANDOM: range(11), Family.FEW: range(11, 21),
}  # fmt: skip
_DOUBLINGS: Final = 9

#: With a deviation of a tenth of a step one weight in two millions moves, and by one step.
_FINE_STEPS: Final = (0.09, 0.1, 0.11, 0.125, 0.15, 0.18, 0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 4, 8, 16, 32)
_FINE_SHARES: Final = {
    Family.SMALLEST: (2, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16), Family.RANDOM: (6, 8, 10, 12, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24),
}  # fmt: skip
_FINE_TRAINING: Final = range(5)


@dataclass(frozen=True, slots=True)
class Variant:
    """One change: its family, its level as shown, and the same as a number.

    The number is the deviation of the noise (of some: in steps), the share of the weights, or the steps of training;
    requantised models have their place in the list.
    """

    family: Family
    level: str
    amount: float

    @property
    def name(self) -> str:
        """What files and tables call it."""
        return f"{self.family} {self.level}".replace(" ", "-").replace("^", "").replace(".", "_")

    def chance(self, seed: int) -> int:
        """The seed of this variant's own randomness: it does not depend on which others are made."""
        return seed * 2**32 + zlib.crc32(self.name.encode())


def variants(requantised: Sequence[str]) -> tuple[Variant, ...]:
    """Return the paper's 58 variants and those of our own; levels of all families in turn, the finest first.

    So a run that is stopped has something of every family, and what detectors differ about. ``requantised`` names the
    coarsest first.
    """
    made = [
        ((place - places[0]) / (len(places) - 1), Variant(family, f"2^-{place}", 2.0**-place))
        for family, places in _HALVINGS.items()
        for place in places
    ]
    made += [
        (1 - place / _DOUBLINGS, Variant(family, f"{2**place} steps", 2**place))
        for family in (Family.TUNING, Family.LORA)
        for place in range(_DOUBLINGS + 1)
    ]
    made += [
        (place / max(1, len(requantised) - 1), Variant(Family.REQUANTISED, kind, place))
        for place, kind in enumerate(requantised)
    ]
    return tuple(variant for _, variant in sorted(made, key=lambda one: -one[0]))


def fine_variants(requantised: Sequence[str]) -> tuple[Variant, ...]:
    """Return levels fine enough for a model that is served in half precision, the finest of each family first.

    Families that are trained come last: they take longest to make.
    """
    made = [Variant(Family.STEPS, f"{steps:g}", steps) for steps in _FINE_STEPS]
    for family, places in _FINE_SHARES.items():
        made += [Variant(family, f"2^-{place}", 2.0**-place) for place in reversed(places)]
    made += [Variant(Family.REQUANTISED, kind, place) for place, kind in enumerate(requantised)][::-1]
    for family in (Family.TUNING, Family.LORA):
        made += [Variant(family, f"{2**place} steps", 2**place) for place in _FINE_TRAINING]
    return tuple(made)
