"""What is broken when, drawn from a seed. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

Act = Literal[
    "kill_worker",
    "freeze_worker",
    "add_worker",
    "remove_worker",
    "kill_broker",
    "freeze_broker",
    "kill_store",
    "cut_models",
]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to break once this share of the tickets is settled; ``victim`` picks among those that are there."""

    at: float
    act: Act
    victim: float
    seconds: float
    """How long it stays down or frozen."""


def plan(seed: int, worker_kills: int, broker_kills: int, store_kills: int = 0) -> list[Step]:
    """Return the steps in their order: the kills asked for, and freezes, comings and goings between them."""
    rng = random.Random(seed)
    acts: list[Act] = ["kill_worker"] * worker_kills + ["kill_broker"] * broker_kills
    acts += ["freeze_worker"] * (1 + worker_kills // 4) + ["add_worker", "remove_worker"] * (1 + worker_kills // 6)
    acts += ["freeze_broker"] * ((broker_kills + 1) // 3) + ["cut_models"]
    acts += ["kill_store"] * store_kills
    rng.shuffle(acts)
    places = sorted(rng.uniform(0.03, 0.9) for _ in acts)
    return [Step(at, act, rng.random(), rng.uniform(1.0, 8.0)) for at, act in zip(places, acts, strict=True)]
