"""The picture of endpoints' probes over time: the detector's statistic beside its threshold, tokens, alarms.

Line styles, hatches and names tell apart what colours do: it can be printed in grey.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams.core.drift.history import Alarmed, History, Rows
from streams.core.wording import counted
from streams.errors import SettingsError
from streams.pictures.canvas import BLACK, BLUE, COLOURS, GREEN, GREY, ORANGE, SKY, VERMILLION, canvas, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ENDPOINTS: Final = 40
"""Endpoints on one picture; a PNG of many more has more pixels than viewers take."""

AROUND: Final = (168, 48)
"""Rows before and after an alarm that its own picture shows: at hourly probes a week and two days."""

_NAMED_ALARMS = 8
#: Rows without a token across which its line is still drawn.
_GAP = 4
_PALE_GREEN = "#E6F4EF"
_TOKEN = 20
#: Row times before this (the year 1980) count from some other beginning, and are no dates.
_FIRST_DATE_S = 315_532_800.0
#: Offset and dashes in points; the likeliest token has the plainest line.
_STYLES = ("-", "--", "-.", ":", (0, (9, 3)), (0, (5, 1, 1, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 3)))
#: The least distance between two tokens' names, as a share of the chart's height.
_APART = 0.07


def draw_probes(histories: Sequence[History], detector: str, path: Path, alarm: int | None = None) -> None:
    """Write the picture of these endpoints, two charts each; with ``alarm``, of the rows around that alarm (1: the first).

    Raises SettingsError for more than ``MAX_ENDPOINTS`` endpoints, for one without that alarm, and as ``canvas`` does.
    """
    if len(histories) > MAX_ENDPOINTS:
        raise SettingsError(
            f"{len(histories)} endpoints are too many for one picture (at most {MAX_ENDPOINTS}): name one with --endpoint"
        )
    shown = [_shown(history, alarm) for history in histories]
    title = "; ".join(history.endpoint for history in histories)
    with canvas(path, f"Probes of {title}", width=10.5, height=5.6 * len(histories)) as figure:
        parts = figure.subfigures(len(histories), 1, squeeze=False)[:, 0]
        for history, rows, part in zip(histories, shown, parts, strict=True):
            judged, tokens = part.subplots(2, 1, sharex=True, height_ratios=(2, 3))
            places = _places(history)
            _draw_statistic(judged, history, places, rows)
            _draw_tokens(tokens, history, places, rows)
            _shade((judged, tokens), history, places)
            _draw_alarms((judged, tokens), history, places, rows)
            if rows[0] < rows[1]:
                tokens.set_xlim(places[rows[0]], places[rows[1]])
            elif places:
                beside = 1 if isinstance(places[0], int) else timedelta(hours=1)
                tokens.set_xlim(places[0] - beside, places[0] + beside)
            _name_time(tokens, places)
            probes, alarms = counted(history.samples, "probe"), counted(len(history.alarms), "alarm")
            judged.set_title(f"{printable(history.endpoint)}: {probes}, {alarms} by {detector}", pad=16)
            part.legend(*_once(judged.get_legend_handles_labels()), loc="outside lower left", ncols=3)


def _shown(history: History, alarm: int | None) -> Rows:
    """Return the first and the last row that are drawn."""
    last = max(0, len(history.seconds) - 1)
    if alarm is None:
        return 0, last
    if not 1 <= alarm <= len(history.alarms):
        raise SettingsError(f"{printable(history.endpoint)} has {len(history.alarms)} alarms, and no alarm {alarm}")
    row = history.alarms[alarm - 1].row
    return max(0, row - AROUND[0]), min(last, row + AROUND[1])


def _once(found: tuple[Sequence[Any], Sequence[str]]) -> tuple[list[Any], list[str]]:
    """Return handles and labels of a legend, each label once."""
    by_label = dict(zip(found[1], found[0], strict=True))
    return list(by_label.values()), list(by_label)


def _places(history: History) -> list[Any]:
    """Return where each row stands on the time axis: its date in UTC, or its number if any row has no date."""
    seconds = [one for one in history.seconds if one is not None and one >= _FIRST_DATE_S]
    try:
        dates = [datetime.fromtimestamp(one, UTC) for one in seconds]
    except (OverflowError, OSError, ValueError):
        dates = []
    return dates if dates and len(dates) == len(history.seconds) else list(range(len(history.seconds)))


def _draw_statistic(panel: Axes, history: History, places: Sequence[Any], shown: Rows) -> None:
    """Draw the statistic as a multiple of its threshold, which itself moves: anything above 1 alarms."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ratios = {judged.row: judged.statistic / judged.threshold for judged in history.judged}
    # Not a number, so that no line is drawn across rows without a judgement.
    points = ratios | {first: math.nan for first, _ in history.learning}
    rows = sorted(points)
    panel.plot([places[row] for row in rows], [points[row] for row in rows], color=BLUE, linewidth=1, label="statistic")
    panel.axhline(1, color=VERMILLION, linestyle="--", label="threshold")
    # Linear up to the threshold and logarithmic beyond it: a change may pass it a hundredfold.
    panel.set_yscale("symlog", linthresh=1, linscale=1)
    highest = max((ratio for row, ratio in ratios.items() if shown[0] <= row <= shown[1]), default=0.0)
    panel.set_ylim(0, max(2.0, 1.3 * highest))
    panel.yaxis.set_major_locator(
        FixedLocator([0, 0.5, *(step * 10**power for power in range(7) for step in (1, 2, 5))])
    )
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_ylabel("statistic / threshold")


def _draw_tokens(panel: Axes, history: History, places: Sequence[Any], shown: Rows) -> None:
    """Draw the tokens' logprobs, each named where its line ends."""
    ends: list[tuple[float, Any, str, str]] = []
    for (token, every), colour, style in zip(history.tokens.items(), COLOURS, _STYLES, strict=False):
        points = [(row, logprob) for row, logprob in every if shown[0] <= row <= shown[1]]
        if points:
            for run in _runs(points):
                x, y = [places[row] for row, _ in run], [logprob for _, logprob in run]
                # A point alone makes no line.
                panel.plot(x, y, color=colour, linestyle=style, linewidth=1.2, marker="o" if len(run) == 1 else None)
            ends.append((y[-1], x[-1], printable(repr(token), _TOKEN), colour))
    panel.set_ylabel("logprob, nats")
    if not ends:
        panel.set_yticks([])
        panel.text(0.5, 0.5, "no logprobs", transform=panel.transAxes, ha="center", va="center")
        return
    bottom, top = panel.get_ylim()
    ends.sort(key=lambda end: end[0])
    for (logprob, place, name, colour), height in zip(
        ends, _spread([end[0] for end in ends], bottom, top), strict=True
    ):
        panel.annotate(
            name,
            (place, logprob),
            xytext=(1.03, height),
            textcoords=("axes fraction", "data"),
            va="center",
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkB": 0, "relpos": (0, 0.5)},
        )


def _runs(points: Sequence[tuple[int, float]]) -> list[list[tuple[int, float]]]:
    """Return the points in runs without longer gaps: no line is drawn where a token is not listed for a while."""
    runs = [[points[0]]]
    for before, point in itertools.pairwise(points):
        if point[0] - before[0] > _GAP:
            runs.append([])
        runs[-1].append(point)
    return runs


def _spread(heights: Sequence[float], bottom: float, top: float) -> list[float]:
    """Return heights near the given ones, which rise, that are far enough apart for names and within the chart."""
    gap, spread = _APART * (top - bottom), list(heights)
    for place in range(1, len(spread)):
        spread[place] = max(spread[place], spread[place - 1] + gap)
    ceiling = top
    for place in reversed(range(len(spread))):
        spread[place] = min(spread[place], ceiling)
        ceiling = spread[place] - gap
    return spread


def _shade(panels: Sequence[Axes], history: History, places: Sequence[Any]) -> None:
    """Shade the rows without a judgement, and the references and the rows since a change of each alarm."""
    references = dict.fromkeys(alarm.before for alarm in history.alarms)
    back = dict.fromkeys(alarm.matched for alarm in history.alarms)
    changed = dict.fromkeys(alarm.after for alarm in history.alarms)
    for label, runs, style in (
        ("reference", [rows for rows in references if rows not in back], {"facecolor": SKY, "alpha": 0.18}),
        ("reference that is back", back, {"facecolor": _PALE_GREEN, "edgecolor": GREEN, "hatch": ".."}),
        ("since the change", changed, {"facecolor": ORANGE, "alpha": 0.6}),
        ("not enough probes yet", history.learning, {"facecolor": "none", "edgecolor": GREY, "hatch": "//"}),
    ):
        for rows in filter(None, runs):
            for panel in panels:
                panel.axvspan(places[rows[0]], places[rows[1]], label=label, linewidth=0, zorder=0, **style)


def _draw_alarms(panels: Sequence[Axes], history: History, places: Sequence[Any], shown: Rows) -> None:
    """Number the alarms across both charts; the first ones are named in the legend."""
    seen = [
        (number, alarm) for number, alarm in enumerate(history.alarms, start=1) if shown[0] <= alarm.row <= shown[1]
    ]
    for place, (number, alarm) in enumerate(seen):
        for panel in panels:
            panel.axvline(places[alarm.row], color=BLACK, linewidth=1, label="alarm")
        if place < _NAMED_ALARMS:
            panels[0].plot([], [], linestyle="", label=f"{number}: {_said(alarm, places)}")
        panels[0].annotate(str(number), (places[alarm.row], 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
                           textcoords="offset points", ha="center", va="bottom")  # fmt: skip
    if len(seen) > _NAMED_ALARMS:
        panels[0].plot([], [], linestyle="", label=f"and {len(seen) - _NAMED_ALARMS} more")


def _said(alarm: Alarmed, places: Sequence[Any]) -> str:
    said = f"{alarm.kind.value.replace('_', ' ')}, {_when(places[alarm.row])}"
    if alarm.matched is None:
        return said
    first, last = (_when(places[row]) for row in alarm.matched)
    return f"{said}, as {first} to {last}"


def _when(place: Any) -> str:
    return f"row {place}" if isinstance(place, int) else f"{place:%Y-%m-%d %H:%M}"


def _name_time(panel: Axes, places: Sequence[Any]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    if places and isinstance(places[0], int):
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_xlabel("row")
        return
    locator = AutoDateLocator()
    panel.xaxis.set_major_locator(locator)
    panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    panel.set_xlabel("time, UTC")
