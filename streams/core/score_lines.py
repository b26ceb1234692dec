"""Lines with recorded responses in, one row of numbers and a decision out for each: the heart of ``hedgerow score``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson

from schemas.signal import Reason, Scored, Unscorable
from streams.core.labels import LabelSet
from streams.core.reading.pieces import clean
from streams.core.score import score

#: From a signal and the model id of the response to a decision ("accept", "escalate" or "review") and the reasons.
Decide = Callable[[Scored | Unscorable, str | None], tuple[str, tuple[str, ...]]]


def score_rows(lines: Iterable[str | bytes], labels: LabelSet, decide: Decide) -> Iterator[dict[str, Any]]:
    """Yield one row for each line that is not blank; a bad line's row says why it cannot be scored.

    A line is ``{"id": ..., "response": ...}``, the response an object or a string that holds one. ``decide`` is the
    policy.
    """
    for line in lines:
        if not line.strip():
            continue
        ticket, signal, model = _read(line, labels)
        decision, reasons = decide(signal, model)
        scored = signal if isinstance(signal, Scored) else None
        yield {
            "id": ticket,
            "status": signal.status,
            "reason": None if isinstance(signal, Scored) else str(signal.reason),
            "label": signal.label,
            "confidence": scored and scored.confidence,
            "entropy": scored and scored.entropy,
            "token_confidence": scored and scored.token_confidence,
            "token_entropy": scored and scored.token_entropy,
            "top_k_mass": scored and scored.top_k_mass,
            "label_probs": scored and scored.label_probs,
            "decision": decision,
            "reasons": list(reasons),
        }


def _read(line: str | bytes, labels: LabelSet) -> tuple[str | int | None, Scored | Unscorable, str | None]:
    try:
        row = _loads(line)
    except (ValueError, RecursionError):
        return None, Unscorable(reason=Reason.NOT_JSON, detail="the line is not JSON"), None
    if not isinstance(row, dict):
        return None, Unscorable(reason=Reason.NOT_JSON, detail="the line is not an object"), None
    name = row.get("id")
    ticket = clean(name) if isinstance(name, str) else name if type(name) is int else None
    if "response" not in row:
        return ticket, Unscorable(reason=Reason.NO_ANSWER, detail="the line has no response"), None
    reading = score(row["response"], labels)
    return ticket, reading.signal, reading.model


def _loads(line: str | bytes) -> object:
    try:
        return orjson.loads(line)
    except ValueError:
        return json.loads(line)  # takes NaN, which recorded bodies can hold
