"""The report: the figures of every round, their medians, and the bars."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: Figure: least or most, and the bar.
BARS: dict[str, tuple[str, float]] = {
    "ratio_vs_handwritten": (">=", 1.0),
    "ratio_vs_quixstreams": (">=", 1.5),
    "share_of_latency_limit": (">=", 0.95),
    "p99_overhead_ms": ("<=", 20.0),
    "scale_2_workers": (">=", 1.9),
    "memory_cpu_ratio": ("<=", 1.1),
    "memory_p50_added_ms": ("<=", 15.0),
}


@dataclass
class Raw:
    """What was measured, arm by arm, a value a round."""

    throughput: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    share: dict[str, list[float]] = field(default_factory=dict)
    overhead: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    scale: list[float] = field(default_factory=list)
    memory: list[Mapping[str, Any]] = field(default_factory=list)
    soak: Mapping[str, Any] | None = None
    load_average: list[float] = field(default_factory=list)
    """Of the machine over a minute, before and after: above the number of cores, others had their share of the time."""

    def median(self, arm: str, figure: str) -> float | None:
        """Return the median of one throughput figure of one arm."""
        return _median([row[figure] for row in self.throughput.get(arm, ())])

    def paced(self, what: str, figure: str) -> float | None:
        """Return the median of one figure of what was paced."""
        return _median([row[figure] for row in self.overhead.get(what, ())])


def report(raw: Raw, tickets: int, rounds: int) -> dict[str, Any]:
    """Return the report; None stands for what was not measured."""
    memory = raw.soak or {figure: raw.median("ours", figure) for figure in ("rss_mb_start", "rss_mb_end")}
    figures = {
        "tickets": tickets,
        "rounds": rounds,
        "tickets_per_second": raw.median("ours", "tickets_per_second"),
        "tickets_per_cpu_second": raw.median("ours", "tickets_per_cpu_second"),
        "ratio_vs_handwritten": _ratio(raw, "by_hand", "tickets_per_second"),
        "ratio_vs_quixstreams": _ratio(raw, "quixstreams", "tickets_per_second"),
        "cpu_ratio_vs_handwritten": _ratio(raw, "by_hand", "tickets_per_cpu_second"),
        "cpu_ratio_vs_quixstreams": _ratio(raw, "quixstreams", "tickets_per_cpu_second"),
        "share_of_latency_limit": _median(raw.share.get("ours", ())),
        "p50_overhead_ms": raw.paced("ours", "p50_ms"),
        "p99_overhead_ms": raw.paced("ours", "p99_ms"),
        "p50_half_limit_ms": raw.paced("ours_half_limit", "p50_ms"),
        "p99_half_limit_ms": raw.paced("ours_half_limit", "p99_ms"),
        "p50_quiet_ms": raw.paced("ours_quiet", "p50_ms"),
        "p99_quiet_ms": raw.paced("ours_quiet", "p99_ms"),
        "p50_bare_ms": raw.paced("bare", "p50_ms"),
        "p99_bare_ms": raw.paced("bare", "p99_ms"),
        "scale_2_workers": _median(raw.scale),
        "memory_cpu_ratio": _median([row["cpu_ratio"] for row in raw.memory]),
        "memory_p50_added_ms": _median([row["p50_added_ms"] for row in raw.memory]),
        "rss_mb_start": memory["rss_mb_start"],
        "rss_mb_end": memory["rss_mb_end"],
    }
    return {
        **figures,
        "bars_not_met": not_met(figures),
        "raw": {
            "throughput": raw.throughput,
            "share_of_latency_limit": raw.share,
            "overhead": raw.overhead,
            "scale_2_workers": raw.scale,
            "memory": raw.memory,
            "soak": raw.soak,
            "load_average": raw.load_average,
        },
    }


def not_met(figures: Mapping[str, Any]) -> list[str]:
    """Return one line for each bar that was measured and is not met."""
    lines = []
    for name, (sign, bar) in BARS.items():
        value = figures[name]
        if value is not None and (value < bar if sign == ">=" else value > bar):
            lines.append(f"{name} {value:.2f}, the bar is {sign} {bar:g}")
    return lines


def _ratio(raw: Raw, other: str, figure: str) -> float | None:
    ours, theirs = raw.median("ours", figure), raw.median(other, figure)
    return None if ours is None or theirs is None else ours / theirs


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None
