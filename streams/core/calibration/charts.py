"""The pictures of a calibration, as SVG text by file name, from the values of its report."""

from __future__ import annotations

from typing import Any

from streams.core.svg import Chart, Point, Series, document

_BEFORE, _AFTER, _LIMIT = "#c2571a", "#1f6fb2", "#8a8f98"
_TIERS = ("cheap", "big")


def pictures(report: dict[str, Any]) -> dict[str, str]:
    """Return reliability.svg, risk_coverage.svg and sweep.svg."""
    return {
        "reliability.svg": document([_reliability(report, tier) for tier in _TIERS]),
        "risk_coverage.svg": document([_risk_coverage(report, tier) for tier in _TIERS]),
        "sweep.svg": document([_path(report), _frontier(report)]),
    }


def _reliability(report: dict[str, Any], tier: str) -> Chart:
    measures = report["tiers"][tier]

    def curve(stage: str) -> list[Point]:
        return [(one["confidence"], one["right"]) for one in measures[stage].get("reliability", ())]

    def name(stage: str) -> str:
        return f"{stage} calibration, ECE {measures[stage].get('ece', 0.0):.3f}"

    lowest = min((min(point) for stage in ("before", "after") for point in curve(stage)), default=0.0)
    limits = (max(0.0, int(lowest * 10) / 10), 1.0)
    return Chart(
        f"{tier}: reliability",
        "confidence, %",
        "right, %",
        limits,
        limits,
        (
            Series("honest", [(limits[0], limits[0]), (1.0, 1.0)], _LIMIT, "dashed"),
            Series(name("before"), curve("before"), _BEFORE),
            Series(name("after"), curve("after"), _AFTER),
            Series("", curve("after"), _AFTER, "dots"),
        ),
    )


def _risk_coverage(report: dict[str, Any], tier: str) -> Chart:
    measures = report["tiers"][tier]

    def curve(stage: str) -> list[Point]:
        return [(one["coverage"], one["error"]) for one in measures[stage].get("risk_coverage", ())]

    bound = report["promise"]["max_error"]
    # The first few answers make a curve jump; the axis is for what comes after them.
    highest = max((error for coverage, error in curve("before") if coverage > 0.05), default=bound)
    return Chart(
        f"{tier} alone: error of the surest answers",
        "answers accepted, %",
        "wrong among them, %",
        (0.0, 1.0),
        (0.0, 1.1 * max(highest, bound)),
        (
            Series(f"bound {bound:.1%}", [(0.0, bound), (1.0, bound)], _LIMIT, "dashed"),
            Series("before calibration", curve("before"), _BEFORE),
            Series("after calibration", curve("after"), _AFTER, "dashed"),
        ),
    )


def _path(report: dict[str, Any]) -> Chart:
    bound = report["promise"]["max_error"]
    steps = report["path"]
    last = max(1, len(steps) - 1)

    def points(name: str, wanted: bool | None = None) -> list[Point]:
        return [
            (place / last, step["bound"] if name == "bound" else step["wrong"] / max(1, step["accepted"]))
            for place, step in enumerate(steps)
            if wanted is None or step["chosen"] is wanted
        ]

    return Chart(
        "policies tested, cautious to cheap",
        "along the path, %",
        "accepted error, %",
        (0.0, 1.0),
        (0.0, 1.6 * max(bound, *(step["bound"] for step in steps))),
        (
            Series(f"bound promised {bound:.1%}", [(0.0, bound), (1.0, bound)], _LIMIT, "dashed"),
            Series(f"upper bound at {report['promise']['level']:.0%}", points("bound"), _BEFORE),
            Series("found", points("error"), _AFTER),
            Series("chosen", points("bound", True), _BEFORE, "dots"),
        ),
    )


def _frontier(report: dict[str, Any]) -> Chart:
    rows = [(row["review_rate"], row["saving"]) for row in report["frontier"]]
    here = (report["figures"]["review_rate"], report["figures"]["saving"] or 0.0)
    low = min(0.0, min((saving for _, saving in rows), default=0.0))
    return Chart(
        "what reviewers' work buys",
        "tickets in review, %",
        "saved against all-big, %",
        (0.0, max(0.05, here[0], *(share for share, _ in rows))),
        (low, 1.0),
        (Series("best at this review", rows, _AFTER), Series("chosen", [here], _BEFORE, "dots")),
    )
