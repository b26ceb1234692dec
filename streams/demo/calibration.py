"""Calibrates the demo's policy on recorded answers to tickets that no model has learnt from and that are not streamed."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas import Ticket
from streams.core.calibration.calibration_report import calibrated
from streams.core.calibration.records import Record
from streams.core.calibration.selection import NoPolicy
from streams.core.policy.fitted import Promise
from streams.core.policy.policy import Policy
from streams.evaluation import RecordFile, evaluate
from streams.memory.memory import Memory
from streams.models.classifier import ModelClient

PROMISE = Promise(
    max_error=0.1, level=0.9, keep=0.97, min_saving=0.7, max_review=0.3, review_usd=0.1, max_out_of_scope=0.2
)
"""What the demo asks of its policy: what some 300 tested tickets can show. Thousands would carry a stricter bound."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A policy, and what its calibration found; the default policy and ``reason`` if no policy keeps the promise."""

    policy: Policy
    records: int
    """Tickets that both models answered."""
    found: dict[str, Any] | None
    """The report of ``hedgerow calibrate``."""
    reason: str = ""

    def figures(self) -> dict[str, Any]:
        """Return what the demo's report says of the calibration; counts, and shares from 0 to 1."""
        if self.found is None:
            return {"records": self.records, "reason": self.reason}
        made = self.found["figures"]
        return {
            "records": self.records,
            "explored": self.found["explored"],
            "tested": self.found["tested"],
            "max_error": self.found["promise"]["max_error"],
            "level": self.found["promise"]["level"],
            **{name: made[name] for name in ("accepted_error", "accepted_error_bound", "saving", "review_rate")},
            "cheap": self.policy.cheap.model_dump(mode="json"),
            "big": self.policy.big.model_dump(mode="json"),
        }


async def calibrate(
    tickets: Sequence[Ticket], cheap: ModelClient, big: ModelClient, memory: Memory | None, folder: Path, *, seed: int
) -> Calibrated:
    """Ask both models about every ticket and fit a policy to the answers; ``seed`` splits them in two halves.

    Raises SettingsError for answers that no policy can be fitted to, whatever the promise.
    """
    with RecordFile(folder / "records.jsonl") as file:
        await evaluate(tickets, cheap, big, file, memory)
        return fit(file.records, seed=seed)


def fit(records: Sequence[Record], *, seed: int) -> Calibrated:
    """Return the policy that keeps the demo's promise on these records, or the default one."""
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        policy, found = calibrated(records, PROMISE, today, seed=seed)
    except NoPolicy as error:
        return Calibrated(Policy(), len(records), None, str(error))
    return Calibrated(policy, len(records), found)
