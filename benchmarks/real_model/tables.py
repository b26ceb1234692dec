"""The tables of both benchmarks: what each tier's answers are worth, and what policies save."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.calibration import Rows
from schemas import Scored, Ticket, Tier
from streams.core.calibration.calibration_report import report
from streams.core.calibration.figures import whatif
from streams.core.calibration.records import Record
from streams.core.calibration.selection import NoPolicy, select
from streams.core.policy.fitted import Promise
from streams.core.policy.policy import Policy
from streams.pictures.calibration_pictures import draw_calibration

_MASSES = (0.95, 0.8, 0.6, 0.0)
_PROMISES = (
    ("error under 5 %", {"max_error": 0.05}),
    ("error under 10 %", {"max_error": 0.10}),
    ("error under 10 %, 95 % of big kept", {"max_error": 0.10, "keep": 0.95}),
    ("error under 5 %, saving before people's work", {"max_error": 0.05, "min_saving": 0.7}),
    ("error under 10 %, saving before people's work", {"max_error": 0.10, "min_saving": 0.7}),
)
PROMISE = {"level": 0.95, "keep": 0.99, "min_saving": 0.0, "max_review": 0.3, "review_usd": 0.1}
_PICTURES = ("reliability", "risk_coverage")


def tickets(rows: Rows, queues: Mapping[str, str], seed: int) -> list[Ticket]:
    """Return the rows as tickets in random order."""
    made = [
        Ticket(ticket_id=f"test-{number}", text=text, label=queues[intent])
        for number, (text, intent) in enumerate(rows)
        if text.strip()
    ]
    random.Random(seed).shuffle(made)
    return made


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table; numbers are aligned right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as text."""
    return "-" if value is None else f"{value:z.{digits}%}"


def answers(records: Sequence[Record], tier: Tier) -> list[tuple[Scored, bool, float]]:
    """Return (signal, whether the label is right, milliseconds) of a tier's scored answers."""
    calls = [(getattr(record, tier), record.gold) for record in records]
    return [(x.signal, x.signal.label == gold, x.latency_ms) for x, gold in calls if isinstance(x.signal, Scored)]


def print_answers(records: Sequence[Record]) -> None:
    """Print what each tier alone is worth, and how its confidence separates right from wrong."""
    rows = []
    for tier in ("cheap", "big"):
        found = sorted(answers(records, tier), key=lambda one: -one[0].confidence)
        half = len(found) // 2
        tokens = [getattr(record, tier).attempts[-1].prompt_tokens for record in records]
        rows.append([
            tier, len(records), percent(len(found) / len(records)),
            percent(sum(right for _, right, _ in found) / len(records)),
            percent(statistics.fmean(right for _, right, _ in found[:half])),
            percent(statistics.fmean(right for _, right, _ in found[half:])),
            percent(statistics.fmean(signal.top_k_mass for signal, _, _ in found)),
            percent(statistics.fmean(signal.top_k_mass - signal.out_of_label for signal, _, _ in found)),
            f"{statistics.fmean(tokens):.0f}",
        ])  # fmt: skip
    head = ("tier", "messages", "scored", "right", "surer half right", "other half", "shown mass", "on labels",
            "prompt tokens")  # fmt: skip
    print(table(head, rows))
    covered = [signal.top_k_mass for signal, _, _ in answers(records, "cheap")]
    shares = [[mass, percent(sum(one >= mass for one in covered) / len(records))] for mass in _MASSES[:-1]]
    print(table(("shown mass of at least", "cheap answers"), shares))


def print_tiers(found: Mapping[str, Any]) -> None:
    """Print both tiers' calibration, on the tested half."""
    rows = []
    for tier, one in found["tiers"].items():
        before, after = one["before"], one["after"]
        rows.append([tier, one["map"]["kind"], f"{before['auroc']:.3f}", f"{before['ece']:.3f}", f"{after['ece']:.3f}",
                     f"{before['brier']:.3f}", f"{after['brier']:.3f}"])  # fmt: skip
    print(table(("tier", "map", "AUROC", "ECE before", "after", "Brier before", "after"), rows))


def policies(records: Sequence[Record]) -> Iterator[tuple[str, Policy, Sequence[Record], Mapping[str, Any] | None]]:
    """Yield policies with what they are replayed on, and what their calibration found."""
    yield "default", Policy(), records, None
    yield "default, any shown mass", Policy(min_top_k_mass=0.0), records, None
    for name, changes in _PROMISES:
        promise = Promise(**PROMISE | changes)
        try:
            selection = select(records, promise, base=Policy(min_top_k_mass=0.0))
        except NoPolicy:
            continue
        yield f"calibrated, {name}", selection.policy, selection.tested, report(selection, promise)


def print_policies(records: Sequence[Record], folder: Path | None) -> None:
    """Print what policies save through the pipeline's own rules, and draw the pictures of one calibration."""
    rows, drawn = [], False
    for name, policy, replayed, found in policies(records):
        made = whatif(policy, replayed)
        rows.append([name, made["tickets"], percent(made["saving"]), percent(made["accepted_error"]),
                     percent(made["accuracy_all_big"]), percent(made["routed_cheap"] / made["tickets"]),
                     percent(made["escalation_rate"]), percent(made["review_rate"])])  # fmt: skip
        if found is not None and not drawn:
            drawn = True
            print_tiers(found)
            if folder is not None:
                draw_calibration(dict(found), folder, only=_PICTURES)
    print(table(("policy", "messages", "saving", "accepted error", "big alone on the same", "cheap accepted",
                 "escalated", "in review"), rows))  # fmt: skip
