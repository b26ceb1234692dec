"""Lines with recorded responses in, one row of numbers and a decision out for each: the heart of ``hedgerow score``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.body import loads
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score

#: From a signal, the row's id as text (empty: it has none) and the model id of the response to a decision ("accept",
#: "escalate" or "review") and the reasons.
Decide = Callable[[Scored | Unscorable, str, str | None], tuple[str, tuple[str, ...]]]


_NOT_JSON = Unscorable(reason=Reason.NOT_JSON, detail="the line is not JSON")
_NOT_AN_OBJECT = Unscorable(reason=Reason.NOT_JSON, detail="the line is not an object")
#: Of the line and not of a call, so it is none of the reasons that travel on topics.
_NO_ID = Unscorable(reason="no_id", detail="the line's id is neither text nor a whole number")
_NO_RESPONSE = Unscorable(reason=Reason.NO_ANSWER, detail="the line has no response")


def score_rows(lines: Iterable[str | bytes], labels: LabelSet, decide: Decide) -> Iterator[dict[str, Any]]:
    """Yield one row for each line that is not blank; a bad line's row says why it cannot be scored.

    A line is ``{"id": ..., "response": ...}``: the id text or a whole number, without which a decision belongs to no ticket; the
    response an object or a string that holds one. ``decide`` is the policy.
    """
    for line in lines:
        if not line.strip():
            continue
        ticket, signal, model = _read(line, labels)
        decision, reasons = decide(signal, "" if ticket is None else str(ticket), model)
        scored = signal if isinstance(signal, Scored) else None
        yield {
            "id": ticket,
            "status": signal.status,
            "reason": None if isinstance(signal, Scored) else str(signal.reason),
            "label": signal.label,
            "confidence": scored and scored.confidence,
            "entropy": scored and scored.entropy,
            "decision_entropy": scored and scored.decision_entropy,
            "token_confidence": scored and scored.token_confidence,
            "token_entropy": scored and scored.token_entropy,
            "top_k_mass": scored and scored.top_k_mass,
            "label_probs": scored and scored.label_probs,
            "decision": decision,
            "reasons": list(reasons),
        }


def _read(line: str | bytes, labels: LabelSet) -> tuple[str | int | None, Scored | Unscorable, str | None]:
    try:
        row = loads(line)
    except (ValueError, RecursionError):
        return None, _NOT_JSON, None
    if not isinstance(row, dict):
        return None, _NOT_AN_OBJECT, None
    ticket = _id(row.get("id"))
    if ticket is None:
        return None, _NO_ID, None
    if "response" not in row:
        return ticket, _NO_RESPONSE, None
    reading = score(row["response"], labels)
    return ticket, reading.signal, reading.model


def _id(value: object) -> str | int | None:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a lone surrogate could not be written out again
    return value if type(value) is int else None
