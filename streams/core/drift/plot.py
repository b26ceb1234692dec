"""The picture of an endpoint's probes: its likeliest tokens over time, with the alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from streams.core.drift import AlarmRecord, ProbeRow, Replay, Unusable
from streams.core.svg import Chart, Mark, Series, document

WIDTH: Final = 960
_COLOURS: Final = ("#1f6fb2", "#c2571a", "#2e7d4f", "#7b4ea3", "#a68a00", "#00838f", "#b0487a", "#5d6570")
MAX_TOKENS: Final = len(_COLOURS)
_MAX_NAME: Final = 24


def plot(
    rows: Iterable[ProbeRow | Unusable], detector: str, *, endpoint: str | None = None, tokens: int = MAX_TOKENS
) -> str | None:
    """Return an SVG document with a chart for each endpoint, or for the one that is named; None if there is none."""
    run = Replay(detector)
    series: dict[str, list[tuple[int, ProbeRow]]] = {}
    alarms: dict[str, list[AlarmRecord]] = {}
    for row in rows:
        for alarm in run.feed(row):
            alarms.setdefault(alarm["endpoint"], []).append(alarm)
        name = row.facts.endpoint
        if name is not None and endpoint in (None, name):
            shown = series.setdefault(name, [])
            if isinstance(row, ProbeRow):
                shown.append((run.rows[name] - 1, row))
    charts = [_chart(name, shown, alarms.get(name, []), detector, tokens) for name, shown in series.items()]
    return document(charts, stacked=True) if charts else None


def _chart(
    name: str, rows: Sequence[tuple[int, ProbeRow]], alarms: Sequence[AlarmRecord], detector: str, tokens: int
) -> Chart:
    """One line for each of the tokens that are listed in most rows, likeliest first, from row to row that lists it."""
    listed = Counter(token for _, row in rows for token in islice(row.tokens, tokens))
    lines = []
    for token, colour in zip([token for token, _ in listed.most_common(tokens)], _COLOURS, strict=False):
        points = [(float(index), row.logprobs[row.tokens.index(token)]) for index, row in rows if token in row.tokens]
        lines.append(Series(repr(token)[:_MAX_NAME], points, colour))
    values = [logprob for line in lines for _, logprob in line.points]
    low, high = (min(values), max(values)) if values else (-1.0, 0.0)
    margin = max(0.05 * (high - low), 0.01)
    printable = "".join(char if char.isprintable() else "\ufffd" for char in name)  # XML takes no control characters
    return Chart(
        title=f"{printable}: {len(rows)} probes, {len(alarms)} alarms of {detector}",
        x_name="row",
        y_name="logprob, nats",
        x_range=(0.0, float(max((index for index, _ in rows), default=1) or 1)),
        y_range=(low - margin, high + margin),
        series=lines,
        marks=[Mark(float(alarm["index"]), alarm["kind"]) for alarm in alarms],
        width=WIDTH,
        in_per_cent=False,
    )
