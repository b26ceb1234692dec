"""The picture of endpoints' probes over time: tokens, the detector's statistic beside its threshold, alarms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from streams.core.drift.history import History
from streams.errors import SettingsError
from streams.pictures.canvas import BLACK, BLUE, COLOURS, GREY, VERMILLION, canvas, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_ENDPOINTS: Final = 40
"""Endpoints on one picture; a PNG of many more has more pixels than viewers take."""

_NAMED_ALARMS = 8
_TOKEN = 20
#: Row times before this (the year 1980) count from some other beginning, and are no dates.
_FIRST_DATE_S = 315_532_800.0


def draw_probes(histories: Sequence[History], detector: str, path: Path) -> None:
    """Write the picture of these endpoints, two charts each.

    Raises SettingsError for more than ``MAX_ENDPOINTS`` endpoints, and as ``canvas`` does.
    """
    if len(histories) > MAX_ENDPOINTS:
        raise SettingsError(
            f"{len(histories)} endpoints are too many for one picture (at most {MAX_ENDPOINTS}): name one with --endpoint"
        )
    title = "; ".join(history.endpoint for history in histories)
    with canvas(path, f"Probes of {title}", width=10.5, height=4.6 * len(histories)) as figure:
        parts = figure.subfigures(len(histories), 1, squeeze=False)[:, 0]
        for history, part in zip(histories, parts, strict=True):
            tokens, judged = part.subplots(2, 1, sharex=True, height_ratios=(3, 2))
            places = _places(history)
            _draw_tokens(tokens, history, places)
            _draw_statistic(judged, history, places)
            _draw_alarms((tokens, judged), history, places)
            count = f"{len(history.alarms)} {'alarm' if len(history.alarms) == 1 else 'alarms'}"
            tokens.set_title(f"{printable(history.endpoint)}: {history.samples} probes, {count} by {detector}", pad=16)
            for panel in (tokens, judged):
                if panel.get_legend_handles_labels()[0]:
                    panel.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def _places(history: History) -> list[Any]:
    """Return where each row stands on the time axis: its date in UTC, or its number if any row has no date."""
    seconds = [one for one in history.seconds if one is not None and one >= _FIRST_DATE_S]
    try:
        dates = [datetime.fromtimestamp(one, UTC) for one in seconds]
    except (OverflowError, OSError, ValueError):
        dates = []
    return dates if dates and len(dates) == len(history.seconds) else list(range(len(history.seconds)))


def _draw_tokens(panel: Axes, history: History, places: Sequence[Any]) -> None:
    styles = zip(cycle(COLOURS), [*["-"] * 4, *["--"] * 4], strict=False)
    for (token, points), (colour, style) in zip(history.tokens.items(), styles, strict=False):
        panel.plot(
            [places[row] for row, _ in points],
            [logprob for _, logprob in points],
            color=colour,
            linestyle=style,
            linewidth=1.2,
            label=printable(repr(token), _TOKEN),
        )
    panel.set_ylabel("logprob, nats")


def _draw_statistic(panel: Axes, history: History, places: Sequence[Any]) -> None:
    """Draw the statistic as a multiple of its threshold, which itself moves: anything above 1 alarms."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    for number, (first, last) in enumerate(history.learning):
        label = "not enough probes yet" if number == 0 else None
        panel.axvspan(places[first], places[last], color=GREY, alpha=0.2, linewidth=0, label=label)
    ratios = {judged.row: judged.statistic / judged.threshold for judged in history.judged}
    # Not a number, so that no line is drawn across rows without a judgement.
    shown = ratios | {first: math.nan for first, _ in history.learning}
    rows = sorted(shown)
    panel.plot([places[row] for row in rows], [shown[row] for row in rows], color=BLUE, linewidth=1, label="statistic")
    panel.axhline(1, color=VERMILLION, linestyle="--", label="threshold")
    # Linear up to the threshold and logarithmic beyond it: a change may pass it a hundredfold.
    panel.set_yscale("symlog", linthresh=1, linscale=1)
    panel.set_ylim(0, max(2.0, 1.3 * max(ratios.values(), default=0.0)))
    panel.yaxis.set_major_locator(
        FixedLocator([0, 0.5, *(step * 10**power for power in range(7) for step in (1, 2, 5))])
    )
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_ylabel("statistic / threshold")


def _draw_alarms(panels: Sequence[Axes], history: History, places: Sequence[Any]) -> None:
    """Number the alarms across both charts; the first ones are named in the legend."""
    for number, alarm in enumerate(history.alarms, start=1):
        place = places[alarm.row]
        when = f"row {place}" if isinstance(place, int) else f"{place:%Y-%m-%d %H:%M}"
        for panel in panels:
            line = panel.axvline(place, color=BLACK, linewidth=1)
        if number <= _NAMED_ALARMS:
            line.set_label(f"{number}: {alarm.kind.value.replace('_', ' ')}, {when}")
        panels[0].annotate(str(number), (place, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
                           textcoords="offset points", ha="center", va="bottom")  # fmt: skip
    if len(history.alarms) > _NAMED_ALARMS:
        panels[-1].plot([], [], linestyle="", label=f"and {len(history.alarms) - _NAMED_ALARMS} more")
    _name_time(panels[-1], places)


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
