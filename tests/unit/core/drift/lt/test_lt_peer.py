"""`lt` against a second reading of the published rule, which shares no line with the first, over 28 endpoints.

The peer reads raw rows with plain dictionaries and lists, and keeps every window; it is slow and easy to check.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from streams.core.drift import read_row, replay
from streams.sandbox.simulated_probes import Endpoint, probe_rows

Row = dict[str, Any]
Sample = list[tuple[str, float]]

NOISY = {"rho": 0.8, "missing": 0.05, "errors": 0.05}

JUMPS = [
    Endpoint(rho=rho, sigma=sigma, change_at=at, change_rms=rms)
    for rho, sigma, at, rms in (
        (0.0, 0.02, 200, 2.0),
        (0.0, 0.10, 251, 2.5),
        (0.3, 0.05, 215, 3.0),
        (0.5, 0.02, 262, 1.6),
        (0.5, 0.05, 300, 2.2),
        (0.8, 0.02, 230, 4.0),
        (0.8, 0.05, 277, 5.0),
        (0.5, 0.02, 120, 3.0),
    )
] + [Endpoint(**NOISY, change_at=at, change_rms=rms) for at, rms in ((260, 2.5), (290, 4.0))]
QUIET = [Endpoint(**NOISY, sigma=sigma) for sigma in (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)]
SHORTENED = [Endpoint(k_at=at) for at in (190, 230, 270)] + [Endpoint(**NOISY, k_at=at) for at in (210, 250, 290)]
BOTH = [
    Endpoint(k_at=210, change_at=280, change_rms=3.0),
    Endpoint(**NOISY, k_at=280, change_at=225, change_rms=4.0),
    Endpoint(rho=0.0, k_at=240, change_at=240, change_rms=3.0),
    Endpoint(rho=0.8, k_at=300, change_at=270, change_rms=3.0),
]
ENDPOINTS = list(enumerate(JUMPS + QUIET + SHORTENED + BOTH))


def peer_statistic(window: list[Sample]) -> float:
    k = min(len(sample) for sample in window)
    cut = [dict(sample[:k]) for sample in window]
    tokens = {token for logprobs in cut for token in logprobs}
    least = [min(logprobs.values()) for logprobs in cut]
    total = 0.0
    for token in tokens:
        values = [logprobs.get(token, floor) for logprobs, floor in zip(cut, least, strict=True)]
        total += abs(sum(values[24:]) - sum(values[:24])) / 24
    return total / len(tokens)


def peer_alarms(rows: list[Row]) -> Iterator[int]:
    """Positions of the alarming rows; the rows seen so far are all that a decision looks at."""
    samples: list[Sample] = []
    s: list[float] = []
    silent_until = 0
    for index, row in enumerate(rows):
        if row["error"] is not None or not row["logprobs"]:
            continue
        samples.append(sorted(row["logprobs"].items(), key=lambda entry: -entry[1]))
        if len(samples) < 48:
            continue
        s.append(peer_statistic(samples[-48:]))
        if len(s) < 149:
            continue
        before = s[-149:-49]
        mean, deviation = statistics.fmean(before), statistics.pstdev(before)
        far = s[-1] - mean > 12 * deviation if deviation > 1e-12 else s[-1] > mean
        if far and s[-1] > 1.0 and len(samples) > silent_until:
            silent_until = len(samples) + 48
            yield index


@pytest.mark.parametrize(("seed", "endpoint"), ENDPOINTS)
def test_alarms_where_the_peer_does_and_calls_another_k_another_k(seed: int, endpoint: Endpoint) -> None:
    rows = probe_rows(endpoint, 360, 9000 + seed)
    found = list(replay(map(read_row, rows), "lt"))
    theirs = list(peer_alarms(rows))
    assert [alarm["index"] for alarm in found if alarm["kind"] == "change"] == theirs
    assert len(theirs) == (endpoint.change_at is not None and endpoint.change_at > 170)
    shorter = [alarm["index"] for alarm in found if alarm["kind"] == "k_change"]
    assert len(shorter) == (endpoint.k_at is not None)
    assert all(0 <= index - (endpoint.k_at or 0) < 24 for index in shorter)
    assert {alarm["kind"] for alarm in found} <= {"change", "k_change"}
