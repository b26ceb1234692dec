"""``python -m benchmarks.drift [--setting small|full] [--only PART] [--broker embedded|kafka] [--seed N] [--json] [--report FILE]``.

All figures of one run: ratios of the permutation test and of the sliding statistic to the obvious ways, detectors'
updates per second of one core, false alarms and changes caught by detector, probes to alerts through a broker, and a restart. Rates
are per second of CPU, so that other work on the machine does not count; set OMP_NUM_THREADS=1 for one core. *Without other
work* is the time by the clock less that for which the process was ready to run and waited for a core (Linux).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.drift import pipeline, quality, restart, speed
from streams.core.drift import DETECTORS
from streams.observability.logs import configure_logging

PARTS = ("rates", "quality", "again", "pipeline", "restart")


def report(parts: Sequence[str], setting: str, broker: str, endpoints: int, seed: int = 0) -> dict[str, Any]:
    """Measure what is asked for."""
    figures: dict[str, Any] = {
        "setting": setting,
        "seed": seed,
        "broker": broker,
        "rates": {},
        "quiet": {},
        "changed": {},
        "again": {},
        "pipeline": {},
        "restart": {},
    }
    if "rates" in parts:
        figures["rates"] = speed.measure(0.2 if setting == "small" else 1.0)
    effort = replace(quality.SMALL if setting == "small" else quality.FULL, seed=seed)
    if "quality" in parts:
        quiet, changed = quality.measure(effort)
        figures["quiet"] = {name: {each: asdict(one) for each, one in row.items()} for name, row in quiet.items()}
        figures["changed"] = {name: {each: asdict(one) for each, one in row.items()} for name, row in changed.items()}
    if "again" in parts:
        again = quality.again(effort)
        figures["again"] = {what: {name: asdict(one) for name, one in row.items()} for what, row in again.items()}
    if "pipeline" in parts:
        figures["pipeline"] = uvloop.run(pipeline.measure(broker, endpoints, tuple(DETECTORS)))
    if "restart" in parts:
        figures["restart"] = uvloop.run(restart.measure(broker, **restart.SIZES[setting]))
    return figures


def lines(figures: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    for what, ways in figures["rates"].items():
        slowest = min(ways.values())
        yield f"{what}, per second of one core"
        for name, rate in ways.items():
            yield f"  {name:<32} {rate:>9,.0f}   {rate / slowest:>6.1f} x"
    names = list(DETECTORS)
    if figures["quiet"]:
        yield "false alarms in 10,000 rows     " + "".join(f"{name:>24}" for name in names)
    for endpoint, row in figures["quiet"].items():
        cells = (f"{10_000 * row[name]['alarms'] / row[name]['rows']:.1f} of {row[name]['rows']}" for name in names)
        yield f"  {endpoint:<32}" + "".join(f"{cell:>24}" for cell in cells)
    if figures["changed"]:
        yield f"caught within {quality.WITHIN} rows, median delay"
    for endpoint, row in figures["changed"].items():
        yield f"  {endpoint:<32}" + "".join(f"{_power(row[name]):>24}" for name in names)
    if figures["again"]:
        yield f"changes of {quality.AGAIN_RMS}, {quality.APART} rows apart: named so within {quality.SOON} rows"
    for what, row in figures["again"].items():
        cells = (f"{found['named']} of {found['series']}" for found in row.values())
        yield f"  {what:<32}" + "".join(f"{cell:>24}" for cell in cells)
    for name, found in figures["pipeline"].items():
        yield (
            f"probes to alerts through {figures['broker']}, {name}: {found['per_second']:,.0f} updates/s, "
            f"{found['per_second_alone']:,.0f} without other work, {found['per_cpu_second']:,.0f} per CPU second "
            f"({found['probes']} probes, {found['alerts']} alerts)"
        )
    if found := figures["restart"]:
        yield f"{found['probes']:,} probes of {found['endpoints']} endpoints through {figures['broker']}"
        for what in ("first start", "restart"):
            yield (
                f"  {what:<32} {found[what + ', s']:>9,.1f} s   {found[what + ', alone s']:>9,.1f} s without other work"
                f"   {found[what + ', CPU s']:>9,.1f} s of CPU   {found[what + ', probes read']:>9,} probes read"
            )
        yield f"  {'kept states':<32} {found['state, MB']:>9,.1f} MB"


def _power(found: dict[str, Any]) -> str:
    caught = f"{found['caught']} of {found['changes']}"
    return caught if found["median_delay"] is None else f"{caught}, {found['median_delay']:.0f} rows"


def main() -> None:
    """Measure, print, and write the report if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=("small", "full"), default="small")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    parser.add_argument("--endpoints", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0, help="where the seeds of simulated endpoints begin")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--report", type=Path, help="write them there, too")
    options = parser.parse_args()
    configure_logging(level="error")
    figures = report(
        [options.only] if options.only else PARTS, options.setting, options.broker, options.endpoints, options.seed
    )
    print(json.dumps(figures, indent=1) if options.json else "\n".join(lines(figures)))
    if options.report:
        options.report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
