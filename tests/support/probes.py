"""Probes of simulated endpoints, as they would stand on the topic."""

from __future__ import annotations

from schemas import Probe, stable_id
from streams.sandbox.simulated_probes import Endpoint, probe_rows

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def probes(endpoint: Endpoint, count: int, seed: int, name: str = "mini", **fields: object) -> list[Probe]:
    """``count`` hourly probes of one endpoint; the same for the same seed."""
    return [
        Probe(
            probe_id=stable_id("probe", name, str(index)),
            endpoint=name,
            at_ms=START_MS + index * HOUR_MS,
            model_asked="gpt-4o-mini",
            logprobs=row["logprobs"],
            error=row["error"],
            cost_usd=1e-6,
        ).model_copy(update=fields)
        for index, row in enumerate(probe_rows(endpoint, count, seed, name))
    ]
