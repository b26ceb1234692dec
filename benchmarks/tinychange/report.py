"""The figures as Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.tinychange.detectors import PROBING
from benchmarks.tinychange.variants import OURS


def report(figures: Mapping[str, Any]) -> str:
    """Return every table of a run."""
    parts = [
        f"Subject: {figures['subject']}. Setting: {figures['setting']}, seed {figures['seed']}.\n",
        "### Serving noise\n",
        _noise(figures["noise"]),
        "### All detectors\n",
        _detectors(figures),
        "### By noise\n",
        leads(figures["noisier"]),
        "### By family\n",
        _families(figures),
        "### By level\n",
        _levels(figures),
        "### As they run\n",
        _online(figures),
    ]
    if figures["missing"]:
        parts.append(f"Not recorded: {', '.join(figures['missing'])}.\n")
    return "\n".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; all columns but the first are aligned right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _noise(found: Sequence[Mapping[str, Any]]) -> str:
    names = list(found[0])
    return table(names, [[_shown(one[name]) for name in names] for one in found])


def _detectors(figures: Mapping[str, Any]) -> str:
    count, hard = len(figures["variants"]), len(figures["hard"])
    paper = sum(one["family"] not in OURS for one in figures["variants"])
    rows = [
        [name, _interval(one["paper"]), _interval(one["all"]), _interval(one["hard"]), f"{one['tokens_in']:.0f} + {one['tokens_out']:.0f}",
         f"{one['usd_per_year']:.2f}"]
        for name, one in figures["detectors"].items()
    ]  # fmt: skip
    head = ("detector", f"AUC, {paper} in the paper's families", f"AUC, all {count} variants", f"AUC, the {hard} hard ones",
            "tokens a round", "USD a year")  # fmt: skip
    return table(head, rows)


def leads(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of the detectors that read probes, under each kind of noise."""
    rows = [
        [one["added"], one["variants"], *(_interval(one["over_all"][name]) for name in PROBING), len(one["hard"]),
         *(_interval(one["over_hard"][name]) for name in PROBING), _interval(one["over_hard"]["lead"])]
        for one in found
    ]  # fmt: skip
    head = ("noise added", "variants", *(f"{name}, all" for name in PROBING), "hard ones", *(f"{name}, hard" for name in PROBING),
            "lt-ref above LT, hard")  # fmt: skip
    return table(head, rows)


def _families(figures: Mapping[str, Any]) -> str:
    names = list(figures["detectors"])
    families = dict.fromkeys(variant["family"] for variant in figures["variants"])
    return table(
        ("family", *names),
        [
            [family, *(_interval(figures["detectors"][name]["families"].get(family)) for name in names)]
            for family in families
        ],
    )


def _levels(figures: Mapping[str, Any]) -> str:
    names = list(figures["detectors"])
    delays = {name: one["delays"] for name, one in figures["online"].items()}
    ordered = sorted(figures["variants"], key=lambda one: (one["family"], one["amount"]))
    rows = [
        [one["family"], one["level"] + (" *" if one["name"] in figures["hard"] else ""), _nats(one["rms_nats"]),
         *(_area(figures["detectors"][name]["variants"].get(one["name"])) for name in names),
         *("-" if delays[name][one["name"]] is None else delays[name][one["name"]] for name in delays)]
        for one in ordered
    ]  # fmt: skip
    head = ("family", "level", "RMS, nats", *names, *(f"{name} alarms at row" for name in delays))
    return table(head, rows) + "\n\\* neither trivial nor hopeless.\n"


def _online(figures: Mapping[str, Any]) -> str:
    rows = []
    for name, one in figures["online"].items():
        found = [delay for delay in one["delays"].values() if delay is not None]
        hard = [one["delays"][variant] for variant in figures["hard"]]
        rows.append([name, f"{one['false_alarms']} in {one['quiet_rows']}", f"{len(found)} of {len(one['delays'])}",
                     f"{sum(delay is not None for delay in hard)} of {len(hard)}",
                     statistics.median(found) if found else "-"])  # fmt: skip
    within = next(iter(figures["online"].values()))["within"]
    head = (
        "detector",
        "false alarms",
        f"caught within {within} rows",
        "hard ones caught",
        "median delay of the caught",
    )
    return table(head, rows)


def _interval(one: Mapping[str, float] | None) -> str:
    return "-" if one is None else f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _nats(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 else f"{value:.5f}"


def _area(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(str(_shown(one)) for one in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4f}" if isinstance(value, float) else value
