"""The pictures of a calibration, from the values of its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from streams.pictures.canvas import BLACK, BLUE, GREEN, GREY, VERMILLION, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Format = Literal["svg", "png"]
PICTURES = ("reliability", "risk_coverage", "sweep")
_TIERS = ("cheap", "big")


def draw_calibration(
    report: dict[str, Any], folder: Path, written_as: Format = "svg", only: Sequence[str] = PICTURES
) -> None:
    """Write the pictures of a calibration's report to a folder; ``only`` names those that are wanted.

    Raises SettingsError as ``canvas`` does.
    """
    draw = {"reliability": _reliability, "risk_coverage": _risk_coverage, "sweep": _sweep}
    for name in only:
        draw[name](report, folder / f"{name}.{written_as}")


def _reliability(report: dict[str, Any], path: Path) -> None:
    """Draw how often answers of each confidence are right; on the diagonal a confidence means what it says."""
    bins = [
        (one["confidence"], one["right"])
        for tier in _TIERS
        for stage in ("before", "after")
        for one in report["tiers"][tier][stage].get("reliability", ())
    ]
    lowest = min((min(point) for point in bins), default=0.0)
    # A little room beyond 100 %, so that points there are drawn whole.
    limits = (max(0.0, int(lowest * 10) / 10), 1.015)
    with canvas(path, "Reliability of both tiers, before and after calibration", width=8.6, height=4.9) as figure:
        axes = figure.subplots(1, 2, sharex=True, sharey=True)
        for tier, panel in zip(_TIERS, axes, strict=True):
            measures = report["tiers"][tier]
            panel.plot((0, 1), (0, 1), color=GREY, linestyle="--", label="right as often as confident")
            for stage, colour, marker in (("before", VERMILLION, "s"), ("after", BLUE, "o")):
                x, y = _columns([(one["confidence"], one["right"]) for one in measures[stage].get("reliability", ())])
                panel.plot(x, y, color=colour, marker=marker, linewidth=1, label=f"{stage} calibration")
            ece = ", ".join(f"{measures[stage].get('ece', 0.0):.3f} {stage}" for stage in ("before", "after"))
            panel.set_title(f"{tier} tier: ECE {ece}")
            panel.set(xlim=limits, ylim=limits, xlabel="confidence", aspect="equal")
            _per_cent(panel)
        axes[0].set_ylabel("right")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)


def _risk_coverage(report: dict[str, Any], path: Path) -> None:
    """Draw each tier's error among its surest answers, by the share that is accepted."""
    bound = report["promise"]["max_error"]
    with canvas(path, "Error of each tier's surest answers", width=8.6, height=4.4) as figure:
        axes = figure.subplots(1, 2)
        for tier, panel in zip(_TIERS, axes, strict=True):
            measures = report["tiers"][tier]
            highest = bound
            for stage, colour, style in (("before", VERMILLION, "-"), ("after", BLUE, "--")):
                curve = [(one["coverage"], one["error"]) for one in measures[stage].get("risk_coverage", ())]
                panel.plot(*_columns(curve), color=colour, linestyle=style, label=f"{stage} calibration")
                # The first few answers make a curve jump; the axis is for what comes after them.
                highest = max([highest, *(error for coverage, error in curve if coverage > 0.05)])
                under = max((point for point in curve if point[1] <= bound), default=(0.0, 0.0))
            panel.plot(*under, color=GREEN, marker="*", markersize=13, linestyle="", label="most that keep it")
            panel.axhline(bound, color=GREY, linestyle=":", label=f"promised: at most {bound:.1%}")
            panel.set_title(f"{tier} tier alone: {under[0]:.0%} keep the bound")
            panel.set(xlim=(0, 1.02), ylim=(0, 1.08 * highest), xlabel="answers accepted, the surest first")
            _per_cent(panel)
        axes[0].set_ylabel("wrong among them")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


def _sweep(report: dict[str, Any], path: Path) -> None:
    """Draw the policies that were tested with the one that was chosen, and what more review would save."""
    with canvas(path, "The chosen policy, and what more review would save", width=10, height=4.9) as figure:
        tested, traded = figure.subplots(1, 2)
        _draw_path(tested, report)
        _draw_trade(traded, report)


def _draw_path(panel: Axes, report: dict[str, Any]) -> None:
    from matplotlib.ticker import MaxNLocator

    steps, promise = report["path"], report["promise"]
    numbers = range(1, len(steps) + 1)
    bounds = [step["bound"] for step in steps]
    panel.plot(numbers, bounds, color=VERMILLION, marker="^", label=f"upper bound, {promise['level']:.0%} sure")
    found = [step["wrong"] / max(1, step["accepted"]) for step in steps]
    panel.plot(numbers, found, color=BLUE, marker="o", label="error found on the tested half")
    panel.axhline(
        promise["max_error"], color=GREY, linestyle="--", label=f"promised: at most {promise['max_error']:.1%}"
    )
    for number, step in zip(numbers, steps, strict=True):
        if step["chosen"]:
            label = "chosen: the cheapest whose bound keeps the promise"
            panel.plot(number, step["bound"], color=GREEN, marker="*", markersize=15, linestyle="", label=label)
        if not step["passed"]:
            label = "the first that breaks it ends the search"
            panel.plot(number, step["bound"], color=BLACK, marker="x", markersize=9, linestyle="", label=label)
    panel.set_title("Policies tested, from cautious to cheap")
    panel.set(xlabel="policy", ylabel="wrong among the accepted", ylim=(0, 1.12 * max(promise["max_error"], *bounds)))
    panel.set_xlim(0.5, len(steps) + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _per_cent(panel, "y")
    _legend_below(panel)


def _draw_trade(panel: Axes, report: dict[str, Any]) -> None:
    rows, wanted = report["trade"], report["promise"]["min_saving"]
    panel.plot(
        *_columns([(row["review_rate"], row["saving"]) for row in rows]), color=BLUE, marker="o", label="best saving"
    )
    if wanted > 0:
        panel.axhline(wanted, color=GREY, linestyle="--", label=f"saving wanted: {wanted:.0%}")
    for row in rows:
        place = f"{row['review_rate']:.1%} in review, {row['saving']:.0%} saved"
        if row["knee"]:
            panel.plot(row["review_rate"], row["saving"], color=VERMILLION, marker="D", markersize=8, linestyle="",
                       label=f"beyond this, review saves little: {place}")  # fmt: skip
        if row["chosen"]:
            panel.plot(row["review_rate"], row["saving"], color=GREEN, marker="*", markersize=15, linestyle="",
                       label=f"chosen: {place}")  # fmt: skip
    lowest = min([0.0, *(row["saving"] for row in rows)])
    panel.set_title("What more review would save")
    panel.set(xlabel="tickets in review", ylabel="saved against asking the big model", ylim=(lowest, 1))
    panel.set_xlim(0, max(0.05, *(1.04 * row["review_rate"] for row in rows)))
    _per_cent(panel)
    _legend_below(panel)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _per_cent(panel: Axes, which: Literal["x", "y", "both"] = "both") -> None:
    """Write shares as percentages, at round ticks."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    for name, axis in (("x", panel.xaxis), ("y", panel.yaxis)):
        if which in {name, "both"}:
            axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g}%"))


def _legend_below(panel: Axes) -> None:
    panel.legend(loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0)
