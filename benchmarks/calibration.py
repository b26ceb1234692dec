"""How good a calibrated policy is on messages that it was not fitted on, and how often its bound is broken.

``python -m benchmarks.calibration [--data DIR] [--resamples N] [--max-error A ...] [--pictures DIR] [--report FILE]``, on
Banking77 (CC BY 4.0, see the folder's README). Two data sets, each recorded once with the sandbox models through
their own HTTP server:

queues      the 77 intents as eight queues: the published train split teaches the models, the test split is resampled
ten groups  all messages shuffled, the intents in ten groups of similar words: 7,500 train, the rest is resampled

A resample draws calibration and test messages anew, calibrates on the former as `hedgerow calibrate` does, and replays
the policy on the latter. A bound at 95 % should be exceeded in no more than 5 % of the resamples.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import datetime
import json
import random
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from schemas import Ticket
from streams.core.calibration.calibration_report import calibrated
from streams.core.calibration.figures import whatif
from streams.core.calibration.records import Record
from streams.core.calibration.selection import NoPolicy, select
from streams.core.policy.fitted import Promise
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings
from streams.evaluation import RecordFile, evaluate
from streams.kafka.connection import Connection
from streams.models.classifier import ModelClient
from streams.pictures.calibration_pictures import draw_calibration
from streams.sandbox.model_server.process import ModelServer

_GROUPS = 10
_TEN_TRAIN = 7_500
_SHOWN = (
    "accepted_error", "saving", "accuracy", "accuracy_all_big", "ece", "review_rate", "escalation_rate",
)  # fmt: skip

Rows = list[tuple[str, str]]


def banking77(folder: Path) -> tuple[Rows, Rows, dict[str, str]]:
    """Return (train, test, intent to queue)."""

    def rows(name: str) -> Rows:
        with (folder / name).open(encoding="utf-8", newline="") as file:
            return [(row["text"], row["category"]) for row in csv.DictReader(file)]

    return rows("train.csv"), rows("test.csv"), json.loads((folder / "queues.json").read_text(encoding="utf-8"))


def ten_groups(rows: Rows, seed: int) -> dict[str, str]:
    """Return intent to group: k-means over the words of each intent's messages."""
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import TfidfVectorizer

    intents = sorted({intent for _, intent in rows})
    texts = [" ".join(text for text, one in rows if one == intent) for intent in intents]
    words = TfidfVectorizer(sublinear_tf=True, stop_words="english").fit_transform(texts)
    places = KMeans(_GROUPS, n_init=20, random_state=seed).fit_predict(words)
    return {intent: f"group{place}" for intent, place in zip(intents, places, strict=True)}


async def record(train: Rows, rest: Rows, seed: int) -> list[Record]:
    """Return both models' answers about the rest, after learning from ``train``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = [orjson.dumps({"text": text, "label": label}) for text, label in train]
        (folder / "train.jsonl").write_bytes(b"\n".join(lines))
        tickets = [
            Ticket(ticket_id=f"row-{number}", text=text, label=label) for number, (text, label) in enumerate(rest)
        ]
        async with ModelServer(folder / "train.jsonl", seed=seed, latency_ms=0.0) as server:
            settings = demo_settings(Connection("127.0.0.1:9"), server.url, server.labels, Policy(), folder)
            with RecordFile(folder / "records.jsonl") as file:
                async with (
                    ModelClient("cheap", settings.tiers.cheap, settings.label_set, prompt=settings.prompt) as cheap,
                    ModelClient("big", settings.tiers.big, settings.label_set, prompt=settings.prompt) as big,
                ):
                    await evaluate(tickets, cheap, big, file)
                return sorted(file.records, key=lambda one: one.ticket.ticket_id)


def resample(records: Sequence[Record], calibration: int, promise: Promise, times: int) -> dict[str, Any]:
    """Calibrate and test on fresh splits; ``exceeded`` counts tests with a higher accepted error than the bound."""
    made: list[dict[str, Any]] = []
    for seed in range(times):
        rows = list(records)
        random.Random(seed).shuffle(rows)
        try:
            made.append(whatif(select(rows[:calibration], promise).policy, rows[calibration:]))
        except NoPolicy:
            continue
    exceeded = sum(one["accepted_error"] > promise.max_error for one in made)
    kept = [one["accuracy"] / one["accuracy_all_big"] for one in made]
    return {
        "max_error": promise.max_error,
        "resamples": times,
        "no_policy": times - len(made),
        "exceeded": exceeded,
        "allowed": (1 - promise.level) * times,
        "kept_mean": statistics.fmean(kept) if kept else None,
        "kept_99": sum(x >= 0.99 for x in kept),
        "saving_70": sum(one["saving"] >= 0.7 for one in made),
        "ece_02": sum(one["ece"] <= 0.02 for one in made),
        **{
            name: {"mean": statistics.fmean(values), "low": min(values), "high": max(values)}
            for name in _SHOWN
            if (values := [one[name] for one in made])
        },
    }


def once(records: Sequence[Record], calibration: int, promise: Promise, folder: Path | None) -> dict[str, Any]:
    """Return the figures of one split, and draw its pictures."""
    rows = list(records)
    random.Random(0).shuffle(rows)
    policy, found = calibrated(rows[:calibration], promise, datetime.date(2026, 8, 1))
    if folder is not None:
        draw_calibration(found, folder)
    tiers = {
        tier: {
            stage: {
                name: one[stage][name]
                for name in ("ece", "ece_of_an_honest_model", "brier", "log_loss", "auroc", "accuracy")
            }
            for stage in ("before", "after")
        }
        | {"map": one["map"]["kind"]}
        for tier, one in found["tiers"].items()
    }
    test = whatif(policy, rows[calibration:])
    return {"tiers": tiers, "test": test, "bound": found["figures"]["accepted_error_bound"]}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Record both data sets and return all figures."""
    train, test, queues = banking77(options.data)
    every = train + test
    groups = ten_groups(every, options.seed)
    random.Random(options.seed).shuffle(every)
    sets = {
        "queues": (train, test, queues, len(test) // 2),
        "ten groups": (every[:_TEN_TRAIN], every[_TEN_TRAIN:], groups, 3_000),
    }
    figures: dict[str, Any] = {}
    for name, (seen, rest, label, calibration) in sets.items():
        if options.only and name not in options.only:
            continue
        records = asyncio.run(
            record([(text, label[i]) for text, i in seen], [(text, label[i]) for text, i in rest], options.seed)
        )
        folder = options.pictures if name == "queues" else None
        figures[name] = {
            "calibration": calibration,
            "test": len(records) - calibration,
            "cheap_right": float(np.mean([one.cheap.signal.label == one.gold for one in records])),
            "big_right": float(np.mean([one.big.signal.label == one.gold for one in records])),
            "once": once(records, calibration, _promise(0.05), folder),
            "resamples": [],
        }
        for bound in options.max_error:
            row = resample(records, calibration, _promise(bound), options.resamples)
            figures[name]["resamples"].append(row)
            _print(name, row)
    return figures


def _promise(max_error: float) -> Promise:
    return Promise(max_error=max_error, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1)


def _print(name: str, row: dict[str, Any]) -> None:
    means = "  ".join(f"{key} {row[key]['mean']:.4f}" for key in _SHOWN if key in row)
    print(
        f"{name}, bound {row['max_error']:.0%}: exceeded {row['exceeded']} of {row['resamples']} "
        f"(allowed {row['allowed']:.0f}), no policy {row['no_policy']}; saving >= 70 % in {row['saving_70']}, "
        f">= 99 % of all-big kept in {row['kept_99']}, ECE <= 0.02 in {row['ece_02']}\n  {means}",
        flush=True,
    )


def main() -> None:
    """Measure, print, and write the report if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "banking77")
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--max-error", type=float, nargs="+", default=[0.02, 0.03, 0.05])
    parser.add_argument("--only", nargs="*", help="queues, ten groups; both without it")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    figures = measure(options)
    if options.report:
        options.report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
