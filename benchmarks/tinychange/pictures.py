"""The paper's two figures, redrawn: the AUC by level of each family, and the AUC against what a year costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from benchmarks.tinychange.variants import Family
from streams.core.svg import Chart, Series, document

_COLOURS = ("#c05621", "#1f5fa8", "#2b8a5b", "#7b5ea7", "#6b7280")
_AUC = (0.3, 1.0)
_FIGURES = {
    "tinychange_edits.svg": (Family.NOISE, Family.SMALLEST, Family.RANDOM, Family.FEW),
    "tinychange_training.svg": (Family.TUNING, Family.LORA, Family.REQUANTISED),
}
_AXES = {
    Family.NOISE: "log2 of the deviation",
    Family.SMALLEST: "log2 of the share",
    Family.RANDOM: "log2 of the share",
    Family.FEW: "log2 of the share",
    Family.TUNING: "log2 of the steps",
    Family.LORA: "log2 of the steps",
    Family.REQUANTISED: "place in the list, finest first",
}


def pictures(figures: Mapping[str, Any]) -> dict[str, str]:
    """Return SVG documents by file name."""
    made = {
        name: document([_levels(figures, family) for family in families if _known(figures, family)])
        for name, families in _FIGURES.items()
        if any(_known(figures, family) for family in families)
    }
    return {**made, "tinychange_cost.svg": document([_costs(figures)])}


def _known(figures: Mapping[str, Any], family: Family) -> list[Mapping[str, Any]]:
    return sorted((one for one in figures["variants"] if one["family"] == family), key=lambda one: one["amount"])


def _levels(figures: Mapping[str, Any], family: Family) -> Chart:
    known = _known(figures, family)
    places = {one["name"]: _place(family, one["amount"]) for one in known}
    if family is Family.REQUANTISED:
        places = {name: max(places.values()) - place for name, place in places.items()}
    series = [
        Series(name, [(place, one["variants"][variant]) for variant, place in places.items()], colour)
        for (name, one), colour in zip(figures["detectors"].items(), _COLOURS, strict=True)
    ]
    limits = (min(places.values()), max(places.values()))
    return Chart(family, _AXES[family], "AUC", limits, _AUC, series, in_per_cent=False)


def _place(family: Family, amount: float) -> float:
    return amount if family is Family.REQUANTISED else math.log2(amount)


def _costs(figures: Mapping[str, Any]) -> Chart:
    series = [
        Series(name, [(math.log10(one["usd_per_year"]), one["all"]["value"])], colour, "dots")
        for (name, one), colour in zip(figures["detectors"].items(), _COLOURS, strict=True)
    ]
    exponents = [point[0] for one in series for point in one.points]
    # A decade more on the left, where the names of the detectors stand.
    limits = (math.floor(min(exponents)) - 1, math.ceil(max(exponents)))
    return Chart("What is seen for what it costs", "log10 of USD a year", "AUC, all variants", limits, _AUC, series,
                 width=560, in_per_cent=False)  # fmt: skip
