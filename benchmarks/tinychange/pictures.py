"""The paper's two figures, redrawn: the AUC by level of each family, and the AUC against what a year costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tinychange.variants import Family
from streams.pictures.canvas import BLACK, BLUE, GREEN, PURPLE, VERMILLION, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour, marker and its size, by detector: the probe statistics often agree, so that one is drawn around another.
_LOOKS = ((BLUE, "o", 10), (VERMILLION, "s", 6.5), (BLACK, "^", 3), (GREEN, "D", 4), (PURPLE, "v", 4))
_AUC = (0.25, 1.03)
_FIGURES = {
    "edits": (Family.NOISE, Family.STEPS, Family.SMALLEST, Family.RANDOM, Family.FEW),
    "training": (Family.TUNING, Family.LORA, Family.REQUANTISED),
}
_AXES = {
    Family.NOISE: "deviation of the noise",
    Family.SMALLEST: "share of the weights",
    Family.RANDOM: "share of the weights",
    Family.FEW: "share of the weights",
    Family.STEPS: "steps, deviation of the noise",
    Family.TUNING: "steps of training",
    Family.LORA: "steps of training",
    Family.REQUANTISED: "format, finest first",
}


def draw_pictures(figures: Mapping[str, Any], folder: Path, prefix: str = "tinychange") -> None:
    """Write the pictures to a folder, under names that begin with ``prefix``; families that were not recorded are left out."""
    for name, families in _FIGURES.items():
        if known := [family for family in families if _known(figures, family)]:
            _draw_levels(figures, known, folder / f"{prefix}_{name}.svg")
    _draw_costs(figures, folder / f"{prefix}_cost.svg")


def _known(figures: Mapping[str, Any], family: Family) -> list[Mapping[str, Any]]:
    return sorted((one for one in figures["variants"] if one["family"] == family), key=lambda one: one["amount"])


def _draw_levels(figures: Mapping[str, Any], families: Sequence[Family], path: Path) -> None:
    columns = 2 if len(families) == 4 else len(families)
    rows = math.ceil(len(families) / columns)
    with canvas(path, f"AUC by level: {', '.join(families)}", width=4.8 * columns, height=3.3 * rows + 0.4) as figure:
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for family, panel in zip(families, panels.flat, strict=False):
            _draw_family(panel, figures, family)
        for panel in panels[:, 0]:
            panel.set_ylabel("AUC")
        handles, labels = panel.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _draw_family(panel: Axes, figures: Mapping[str, Any], family: Family) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    known = _known(figures, family)
    if family is Family.REQUANTISED:
        known = known[::-1]
    places = range(len(known))
    for (name, one), (colour, marker, size) in zip(figures["detectors"].items(), _LOOKS, strict=False):
        values = [one["variants"].get(variant["name"], math.nan) for variant in known]
        panel.plot(
            places, values, color=colour, marker=marker, markersize=size, fillstyle="none", linewidth=1, label=name
        )
    # A name at each second level fits, but formats are named one by one.
    step = 1 if family is Family.REQUANTISED else 2
    panel.xaxis.set_major_locator(FixedLocator(places[::step]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.set_xticklabels([variant["level"].removesuffix(" steps") for variant in known[::step]],
                          rotation=60 if family is Family.REQUANTISED else 0)  # fmt: skip
    panel.axhline(0.5, color="#5D6570", linestyle=":", linewidth=1)
    panel.set_title(family)
    panel.set(xlabel=_AXES[family], ylim=_AUC)


def _draw_costs(figures: Mapping[str, Any], path: Path) -> None:
    from matplotlib.ticker import FuncFormatter

    with canvas(path, "AUC against the cost of a year", width=6.4, height=4) as figure:
        panel = figure.subplots()
        for (name, one), (colour, marker, size) in zip(figures["detectors"].items(), _LOOKS, strict=False):
            value = one["all"]
            errors = [[value["value"] - value["low"]], [value["high"] - value["value"]]]
            panel.errorbar(one["usd_per_year"], value["value"], yerr=errors, color=colour, marker=marker, markersize=size,
                           fillstyle="none", linestyle="", capsize=3, label=name)  # fmt: skip
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda usd, _: f"{usd:g}"))
        panel.axhline(0.5, color="#5D6570", linestyle=":", linewidth=1)
        panel.set_title("What is seen for what it costs")
        panel.set(xlabel="USD a year, one endpoint, every hour", ylabel="AUC, all variants", ylim=_AUC)
        figure.legend(loc="outside right upper")
