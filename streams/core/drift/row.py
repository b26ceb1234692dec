"""Reads one probe row, whatever it holds, into a sample or a named reason why it is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from streams.core.drift.judgement import At, Reason, Unusable
from streams.core.signal.numbers import ALMOST_CERTAIN, FLOOR, NOISE

MAX_TOKENS: Final = 1000
"""More entries than any API returns for one position; a longer row is a fault, not a distribution."""


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One probe's first-token distribution, likeliest token first.

    ``logprobs`` are nats, without floors; ``at`` is the row's time as it was written and ``time`` the same in
    comparable form (seconds for ISO 8601 text, the number itself otherwise), or None where there is none.
    """

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    at: At = None
    time: float | None = None
    model: str | None = None
    fingerprint: str | None = None

    @property
    def k(self) -> int:
        """How many tokens the row lists."""
        return len(self.tokens)


def read_row(raw: object) -> ProbeRow | Unusable:
    """Read one probe row: ``{"endpoint", "at", "logprobs": {token: logprob} | null, "error"}``.

    ``model`` and ``fingerprint`` are read where present. Any value is accepted; what cannot serve as a sample comes
    back as ``Unusable`` with its reason. An error counts before anything else the row holds.
    """
    if not isinstance(raw, Mapping):
        return Unusable(Reason.MALFORMED)
    at, time = _read_time(raw.get("at"))
    if raw.get("error"):
        return Unusable(Reason.ERROR, at)
    listed = _read_logprobs(raw.get("logprobs"))
    if isinstance(listed, Reason):
        return Unusable(listed, at)
    # Ties are broken by the token, so that a cut at k keeps the same ones whatever order the row came in.
    listed.sort(key=lambda entry: (-entry[1], entry[0]))
    return ProbeRow(
        tokens=tuple(token for token, _ in listed),
        logprobs=tuple(logprob for _, logprob in listed),
        at=at,
        time=time,
        model=_text(raw.get("model")),
        fingerprint=_text(raw.get("fingerprint")),
    )


def _read_logprobs(value: object) -> list[tuple[str, float]] | Reason:
    if value is None:
        return Reason.MISSING
    if not isinstance(value, Mapping):
        return Reason.MALFORMED
    if len(value) > MAX_TOKENS:
        return Reason.TOO_MANY_TOKENS
    listed: list[tuple[str, float]] = []
    for token, entry in value.items():
        logprob = _number(entry)
        if logprob is None or not isinstance(token, str):
            return Reason.MALFORMED
        if math.isnan(logprob):
            return Reason.NOT_FINITE
        if logprob > NOISE:
            return Reason.NOT_FINITE if math.isinf(logprob) else Reason.POSITIVE
        if logprob > FLOOR:
            listed.append((token, logprob))
    if len(listed) == 1 and listed[0][1] >= ALMOST_CERTAIN:
        return Reason.ONE_HOT
    return listed or Reason.EMPTY


def _number(value: object) -> float | None:
    """A JSON number as a float, or None; true and false are no numbers here."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        # An integer of hundreds of digits: the sign is all that a float can keep of it.
        return math.inf if value > 0 else -math.inf


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_time(value: object) -> tuple[At, float | None]:
    if isinstance(value, str):
        return value, _seconds(value)
    number = _number(value)
    if isinstance(value, int | float) and number is not None and math.isfinite(number):
        return value, number
    return None, None


def _seconds(text: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 time (UTC where no zone is named), or None."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
