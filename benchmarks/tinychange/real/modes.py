"""Measures what serving alone does to the probe: which situations give which logprobs."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import Any

import numpy as np

from benchmarks.tinychange.real.server import RealServer, Situation
from benchmarks.tinychange.recording import PROBE
from streams.sandbox.language_model.distribution import likeliest
from streams.sandbox.log_softmax import log_softmax

COMPANY = (0, 1, 7, 8, 15, 16, 30, 31, 32, 47, 61, 62, 63, 64, 80, 100)
_MILLIONTH = 6


def serving_modes(
    server: RealServer, k: int, *, threads: tuple[int, ...] = (1, 2), companies: tuple[int, ...] = COMPANY
) -> list[dict[str, Any]]:
    """Return the distinct answers to the probe with the situations that gave them, the commonest first.

    ``rms_nats`` is the distance from the first over its k likeliest tokens.
    """
    found: dict[bytes, Any] = {}
    situations: defaultdict[bytes, list[Situation]] = defaultdict(list)
    top: list[int] = []
    every = product(threads, (False, True), companies, (False, True))
    for count, cached, company, first in every:
        situation = Situation(cached, company, first, count)
        log_probs = log_softmax(server.answer("", PROBE, situation))
        top = top or likeliest(log_probs, k)
        values = np.round(log_probs[top].astype(np.float64), _MILLIONTH)
        found.setdefault(values.tobytes(), values)
        situations[values.tobytes()].append(situation)
    ordered = sorted(found, key=lambda one: -len(situations[one]))
    return [
        {
            "situations": len(situations[one]),
            "rms_nats": float(np.sqrt(((found[one] - found[ordered[0]]) ** 2).mean())),
            "cached": sorted({case.cached for case in situations[one]}),
            "company_tokens": sorted({case.company for case in situations[one]}),
            "request_first": sorted({case.first for case in situations[one]}),
            "threads": sorted({case.threads for case in situations[one]}),
        }
        for one in ordered
    ]
