"""Small charts as SVG text: lines and dots on two axes, and lines across, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

Point = tuple[float, float]

WIDTH, HEIGHT = 420, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 34, 46
_GREY, _INK, _ALARM = "#d5d9de", "#2b2f36", "#b3261e"
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Series:
    """One named line, or dots, through points in the chart's own units."""

    name: str
    points: Sequence[Point]
    colour: str
    style: Literal["line", "dashed", "dots"] = "line"


@dataclass(frozen=True, slots=True)
class Mark:
    """A named line across the chart at one value of x."""

    x: float
    name: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with a title, two named axes with their ranges, and series; numbers on the axes are in per cent or plain."""

    title: str
    x_name: str
    y_name: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    series: Sequence[Series] = field(default_factory=tuple)
    marks: Sequence[Mark] = ()
    width: int = WIDTH
    in_per_cent: bool = True


def document(charts: Sequence[Chart], *, stacked: bool = False) -> str:
    """Return an SVG document with the charts side by side, or one below the other."""
    widths = [chart.width for chart in charts]
    width, height = (max(widths), HEIGHT * len(charts)) if stacked else (sum(widths), HEIGHT)
    places = [(0, HEIGHT * row) if stacked else (sum(widths[:row]), 0) for row in range(len(charts))]
    body = "".join(
        f'<g transform="translate({x} {y})">{_chart(chart)}</g>' for (x, y), chart in zip(places, charts, strict=True)
    )
    label = escape("; ".join(chart.title for chart in charts), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'role="img" aria-label="{label}" font-family="sans-serif" font-size="11" fill="{_INK}">'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>{body}</svg>\n'
    )


def _chart(chart: Chart) -> str:
    parts = [f'<text x="{_LEFT}" y="18" font-size="13" font-weight="bold">{escape(chart.title)}</text>']
    for step in range(_TICKS + 1):
        x_value, y_value = _between(chart.x_range, step / _TICKS), _between(chart.y_range, step / _TICKS)
        x, y = _place(chart, (x_value, y_value))
        parts += [
            f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}M{_LEFT} {y:.1f}H{chart.width - _RIGHT}" stroke="{_GREY}"/>',
            f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 14}" text-anchor="middle">{_number(x_value, chart.x_range, chart)}</text>',
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(y_value, chart.y_range, chart)}</text>',
        ]
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts += [
        f'<text x="{(_LEFT + chart.width - _RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(chart.x_name)}</text>',
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(chart.y_name)}</text>',
    ]
    parts += [_series(chart, series) for series in chart.series]
    parts += [_mark(chart, mark) for mark in chart.marks]
    parts += [_legend(place, series) for place, series in enumerate(one for one in chart.series if one.name)]
    return "".join(parts)


def _series(chart: Chart, series: Series) -> str:
    places = [_place(chart, point) for point in series.points]
    if series.style == "dots":
        return "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{series.colour}"/>' for x, y in places)
    if not places:
        return ""
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="5 4"' if series.style == "dashed" else ""
    return f'<path d="{path}" fill="none" stroke="{series.colour}" stroke-width="1.8"{dash}/>'


def _mark(chart: Chart, mark: Mark) -> str:
    x, _ = _place(chart, (mark.x, chart.y_range[0]))
    return (
        f'<path d="M{x:.1f} {_TOP}V{HEIGHT - _BOTTOM}" stroke="{_ALARM}" stroke-dasharray="3 3"/>'
        f'<text x="{x + 3:.1f}" y="{HEIGHT - _BOTTOM - 6}" fill="{_ALARM}">{escape(mark.name)}</text>'
    )


def _legend(place: int, series: Series) -> str:
    y = _TOP + 14 + 15 * place
    return (
        f'<rect x="{_LEFT + 8}" y="{y - 8}" width="10" height="10" fill="{series.colour}"/>'
        f'<text x="{_LEFT + 23}" y="{y + 1}">{escape(series.name)}</text>'
    )


def _place(chart: Chart, point: Point) -> Point:
    """Return where a point lies on the picture; what is out of range is drawn at its edge."""
    x, y = (_within(value, limits) for value, limits in zip(point, (chart.x_range, chart.y_range), strict=True))
    return _LEFT + x * (chart.width - _LEFT - _RIGHT), HEIGHT - _BOTTOM - y * (HEIGHT - _TOP - _BOTTOM)


def _within(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.0


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])


def _number(value: float, limits: tuple[float, float], chart: Chart) -> str:
    if not chart.in_per_cent:
        return f"{value:.4g}"
    digits = 0 if limits[1] - limits[0] >= 0.25 else 1
    return f"{100 * value:.{digits}f}"
