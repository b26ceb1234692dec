"""Simulated endpoints: probe rows with the noise that serving adds, and changes of a known size.

For judging detectors and for demonstrations. The noise is what real endpoints show: serially correlated logits, a common
mode, a second serving mode, rounding, failed calls and answers without logprobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.core.drift.row import ProbeRow, read_row
from streams.core.drift.window import Matrix


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an endpoint's rows are like. Sizes are in logits (nats), shares and ``rho`` between 0 and 1.

    ``sigma`` is the deviation of each logit's own AR(1) noise with correlation ``rho``, ``common`` that of one direction
    shared by all logits. ``mode_share`` of the rows come from a second serving mode, ``mode_rms`` away; a mode outlasts a
    row with probability ``mode_stay``. From ``change_at`` on the model differs by ``change_rms`` over its top k,
    reached in ``ramp`` rows; after ``swap_every`` rows it is the old one again, and so on. From ``second_at`` on it differs by
    ``second_rms`` more. From ``k_at`` on rows list ``k_after`` tokens. Logprobs are rounded to ``quantum`` if given.
    """

    vocabulary: int = 40
    k: int = 20
    sigma: float = 0.02
    rho: float = 0.5
    common: float = 0.0
    mode_rms: float = 0.0
    mode_share: float = 0.0
    mode_stay: float = 0.0
    change_at: int | None = None
    change_rms: float = 0.05
    ramp: int = 1
    swap_every: int | None = None
    second_at: int | None = None
    second_rms: float = 0.1
    k_at: int | None = None
    k_after: int = 5
    quantum: float = 0.0
    missing: float = 0.0
    errors: float = 0.0


def probe_rows(endpoint: Endpoint, n: int, seed: int, name: str = "simulated") -> list[dict[str, Any]]:
    """``n`` hourly probe rows, as they would stand on the topic; the same for the same seed."""
    rng = np.random.default_rng(seed)
    logprobs = _logprobs(endpoint, n, rng)
    fate = rng.random(n)
    rows: list[dict[str, Any]] = []
    for index, values in enumerate(logprobs):
        row: dict[str, Any] = {"endpoint": name, "at": 3600 * index, "logprobs": None, "error": None}
        if fate[index] < endpoint.errors:
            row["error"] = "timeout"
        elif fate[index] >= endpoint.errors + endpoint.missing:
            k = endpoint.k if endpoint.k_at is None or index < endpoint.k_at else endpoint.k_after
            top = np.argsort(-values, kind="stable")[:k]
            row["logprobs"] = {f"token{token}": float(values[token]) for token in top}
        rows.append(row)
    return rows


def usable_rows(endpoint: Endpoint, n: int, seed: int) -> list[ProbeRow]:
    """Those of ``n`` simulated rows that are samples, read."""
    return [row for row in map(read_row, probe_rows(endpoint, n, seed)) if isinstance(row, ProbeRow)]


def _logprobs(endpoint: Endpoint, n: int, rng: np.random.Generator) -> Matrix:
    size = endpoint.vocabulary
    base = np.sort(rng.normal(0.0, 2.0, size))[::-1]
    logits = base + endpoint.sigma * _autoregressive(rng.normal(size=(n, size)), endpoint.rho)
    shared = _autoregressive(rng.normal(size=(n, 1)), endpoint.rho)
    logits += endpoint.common * shared * rng.normal(size=size)
    logits += _second_mode(endpoint, n, rng)[:, None] * _direction(size, size, rng) * endpoint.mode_rms
    change = _direction(size, endpoint.k, rng) * endpoint.change_rms
    if endpoint.change_at is not None:
        since = np.arange(n) - endpoint.change_at
        swapped = since // (endpoint.swap_every or n) % 2 == 0
        logits += (np.clip((since + 1) / endpoint.ramp, 0.0, 1.0) * swapped)[:, None] * change
    if endpoint.second_at is not None:
        logits[endpoint.second_at :] += _direction(size, endpoint.k, rng) * endpoint.second_rms
    logprobs: Matrix = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    if endpoint.quantum:
        logprobs = np.minimum(np.round(logprobs / endpoint.quantum) * endpoint.quantum, 0.0)
    return logprobs


def _autoregressive(noise: Matrix, rho: float) -> Matrix:
    """AR(1) with unit variance from independent noise (rows, d)."""
    series = noise.copy()
    for index in range(1, len(series)):
        series[index] = rho * series[index - 1] + (1.0 - rho**2) ** 0.5 * noise[index]
    return series


def _direction(size: int, top: int, rng: np.random.Generator) -> Matrix:
    """A random direction whose first ``top`` entries have a root mean square of 1."""
    direction = rng.normal(size=size)
    return direction / float(np.sqrt(np.mean(direction[:top] ** 2)))


def _second_mode(endpoint: Endpoint, n: int, rng: np.random.Generator) -> Matrix:
    """1.0 for the rows that the second mode serves, 0.0 for the others."""
    drawn, stays = rng.random(n) < endpoint.mode_share, rng.random(n) < endpoint.mode_stay
    modes = drawn.copy()
    for index in range(1, n):
        if stays[index]:
            modes[index] = modes[index - 1]
    return modes.astype(np.float64)
