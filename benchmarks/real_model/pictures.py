"""The pictures of docs/memory.md: accuracy by size of the memory, novelty in and out of scope, risk by coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.real_model.novelty import Novelties
from streams.core.calibration.measures import Floats, risk_coverage
from streams.pictures.canvas import BLUE, GREEN, GREY, PURPLE, VERMILLION, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour, marker and line of each curve: told apart in grey as well.
_LOOKS = ((BLUE, "o", "-"), (BLUE, "s", "--"), (VERMILLION, "^", "-"), (VERMILLION, "v", "--"))
#: Among fewer answers a single wrong one is a jump.
_FEWEST = 20
_BINS = 40


def draw_accuracy(found: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """Draw the share of right answers by the number of labelled tickets, a line for each model and kind of neighbour."""
    from matplotlib.ticker import FixedLocator, NullLocator

    with canvas(path, "Right answers by size of the memory", width=7.4, height=4.3) as figure:
        panel = figure.subplots()
        sizes = sorted({size for points in found.values() for size, _ in points})
        for (name, points), (colour, marker, style) in zip(found.items(), _LOOKS, strict=False):
            ordered = sorted(points)
            places = [sizes.index(size) for size, _ in ordered]
            panel.plot(
                places, [right for _, right in ordered], color=colour, marker=marker, linestyle=style, label=name
            )
        panel.xaxis.set_major_locator(FixedLocator(range(len(sizes))))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set_xticklabels([f"{size:,}" for size in sizes])
        panel.set_title("What the language model answers with the memory")
        panel.set(xlabel="labelled tickets in the memory (0: fixed examples)", ylabel="right", ylim=(0, 1.02))
        _per_cent(panel, "y")
        figure.legend(loc="outside lower center", ncols=2)


def draw_novelty(found: Sequence[Novelties], path: Path) -> None:
    """Draw how new messages in scope and out of scope are, a panel for each data set."""
    with canvas(path, "Novelty of messages in and out of scope", width=8.6, height=3.9) as figure:
        panels = figure.subplots(1, len(found), squeeze=False)[0]
        for one, panel in zip(found, panels, strict=True):
            highest = float(max(one.inside.max(), one.outside.max()))
            bins = np.linspace(0, highest, _BINS + 1)
            panel.hist(one.inside, bins=bins.tolist(), weights=np.full(len(one.inside), 1 / len(one.inside)), color=BLUE,
                       alpha=0.45, label="fits a label")  # fmt: skip
            panel.hist(one.outside, bins=bins.tolist(), weights=np.full(len(one.outside), 1 / len(one.outside)),
                       color=VERMILLION, histtype="step", linewidth=1.8, label="fits none")  # fmt: skip
            panel.axvline(float(np.quantile(one.inside, 0.95)), color=GREY, linestyle=":",
                          label="95 % of what fits a label is below")  # fmt: skip
            panel.set_title(f"{one.name}\nAUROC {one.area:.3f}", fontsize=9.5)
            panel.set(xlabel="novelty")
            _per_cent(panel, "y")
        panels[0].set_ylabel("share of the messages")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def draw_risk_coverage(found: Mapping[tuple[str, str], tuple[Floats, Floats, int]], path: Path) -> None:
    """Draw the error among the surest answers, with and without the memory; a panel for each model.

    Coverage is of all messages: an answer that is no label is never among the accepted.
    """
    models = list(dict.fromkeys(model for model, _ in found))
    looks = {"without": (PURPLE, "--"), "with the memory": (GREEN, "-")}
    with canvas(path, "Error of the surest answers, with and without the memory", width=8.6, height=4.1) as figure:
        panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
        highest = 0.05
        for model, panel in zip(models, panels, strict=True):
            for (owner, name), (sure, right, unscored) in found.items():
                if owner != model:
                    continue
                coverage, error = risk_coverage(sure, right)
                scored = len(sure) / (len(sure) + unscored)
                shown = coverage * len(sure) >= _FEWEST
                colour, style = looks[name]
                panel.plot(coverage[shown] * scored, error[shown], color=colour, linestyle=style, label=name)
                highest = max(highest, float(error[shown].max(initial=0.0)))
            panel.axhline(0.05, color=GREY, linestyle=":", label="5 %")
            panel.set_title(model)
            panel.set(xlim=(0, 1.02), xlabel="messages accepted, the surest first")
            _per_cent(panel, "x")
            _per_cent(panel, "y")
        panels[0].set_ylim(0, 1.08 * highest)
        panels[0].set_ylabel("wrong among them")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _per_cent(panel: Axes, which: str) -> None:
    """Write shares as percentages, at round ticks."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axis = panel.xaxis if which == "x" else panel.yaxis
    axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
