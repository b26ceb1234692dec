"""One probe as the detectors take it: a sample, or a named reason why it is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Final

from schemas import Probe, stable_id
from streams.core.signal.numbers import ALMOST_CERTAIN, FLOOR, NOISE

MAX_TOKENS: Final = 1000
"""More entries than any API returns for one position; a longer row is a fault, not a distribution."""

_LATEST_S: Final = 1e11
"""A number above this is Unix time in milliseconds: as seconds it would lie in the year 5138."""

At = str | float | int | None
"""A row's time as its writer put it: ISO 8601 text or a number; None if it had none."""


class Reason(StrEnum):
    """Why a row is no sample."""

    ERROR = "error"
    MISSING = "missing"
    EMPTY = "empty"
    ONE_HOT = "one_hot"
    """One token that is certain, and the others at floors or left out: the field is there and says nothing."""
    MALFORMED = "malformed"
    NOT_FINITE = "not_finite"
    POSITIVE = "positive"
    TOO_MANY_TOKENS = "too_many_tokens"
    CLOCK_BACK = "clock_back"
    FEW_TOKENS = "few_tokens"


@dataclass(frozen=True, slots=True)
class ProbeFacts:
    """What is known of a probe whether or not it is a sample.

    ``endpoint`` is None if the row names none. ``at`` is the row's time as it was written and ``time`` the same in
    comparable form (seconds for ISO 8601 text, the number itself otherwise), or None if there is none. ``provider``
    and ``cost_usd`` are None unless the row names them. Only a message of the topic has a ``probe_id``, and ``asked``, a
    digest of what must be the same for two probes of an endpoint to be compared: model, prompt, k and temperature.
    """

    endpoint: str | None = None
    at: At = None
    time: float | None = None
    provider: str | None = None
    cost_usd: float | None = None
    probe_id: str | None = None
    asked: str | None = None

    @property
    def seconds(self) -> float | None:
        """``time`` in seconds; None if there is none."""
        return self.time / 1000 if self.time is not None and self.time > _LATEST_S else self.time


_UNKNOWN: Final = ProbeFacts()


@dataclass(frozen=True, slots=True)
class Unusable:
    """A row that is no sample, and why."""

    reason: Reason
    facts: ProbeFacts = _UNKNOWN


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """One probe's first-token distribution, likeliest token first; ``logprobs`` are nats, without floors."""

    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]
    facts: ProbeFacts = _UNKNOWN
    model: str | None = None
    fingerprint: str | None = None

    @property
    def k(self) -> int:
        """How many tokens the row lists."""
        return len(self.tokens)

    @classmethod
    def of(cls, probe: Probe) -> ProbeRow | Unusable:
        """Return a message of the topic as a row; ``at`` is Unix time in milliseconds."""
        facts = ProbeFacts(
            probe.endpoint,
            *_read_time(probe.at_ms),
            cost_usd=probe.cost_usd,
            probe_id=probe.probe_id,
            asked=_asked(probe.model_asked, probe.prompt, probe.k_asked, probe.temperature),
        )
        return _row(facts, probe.error, probe.logprobs, probe.model_returned, probe.fingerprint)


def read_row(raw: object) -> ProbeRow | Unusable:
    """Read one stored probe: ``{"endpoint", "at", "logprobs": {token: logprob} | null, "error"}``.

    ``model``, ``fingerprint``, ``provider`` and ``cost_usd`` are read if present. A message of the topic, which has
    ``at_ms`` and ``model_returned`` instead, is read too. Any value is accepted; what cannot serve as a sample comes back
    as ``Unusable`` with its reason.
    """
    if not isinstance(raw, Mapping):
        return Unusable(Reason.MALFORMED)
    message = "at_ms" in raw and "at" not in raw
    at, time = _read_time(raw.get("at_ms" if message else "at"))
    endpoint, cost = raw.get("endpoint"), _number(raw.get("cost_usd"))
    facts = ProbeFacts(
        endpoint if isinstance(endpoint, str) else None,
        at,
        time,
        _text(raw.get("provider")),
        cost if cost is not None and 0 <= cost < math.inf else None,
        _text(raw.get("probe_id")) if message else None,
        _asked(*map(raw.get, ("model_asked", "prompt", "k_asked", "temperature"))) if message else None,
    )
    model = raw.get("model_returned" if message else "model")
    return _row(facts, raw.get("error"), raw.get("logprobs"), model, raw.get("fingerprint"))


def _asked(model: object, prompt: object, k: object, temperature: object) -> str:
    return _digest_of_asked(_text(model), _text(prompt), _number(k), _number(temperature))


@lru_cache(maxsize=2_000)
def _digest_of_asked(model: str | None, prompt: str | None, k: float | None, temperature: float | None) -> str:
    # A digest, because detectors keep hundreds of rows, and a prompt is long.
    return stable_id(str(model), str(prompt), str(k), str(temperature))


def _row(facts: ProbeFacts, error: object, logprobs: object, model: object, fingerprint: object) -> ProbeRow | Unusable:
    # An error counts before anything else that the row holds.
    listed = Reason.ERROR if error else _read_logprobs(logprobs)
    if isinstance(listed, Reason):
        return Unusable(listed, facts)
    # Ties are broken by the token, so that a cut at k keeps the same ones whatever order the row came in.
    listed.sort()
    return ProbeRow(
        tokens=tuple([token for _, token in listed]),
        logprobs=tuple([-less for less, _ in listed]),
        facts=facts,
        model=_text(model),
        fingerprint=_text(fingerprint),
    )


def _read_logprobs(value: object) -> list[tuple[float, str]] | Reason:
    """The entries of a sample as (minus the logprob, token), or why there is none."""
    if value is None:
        return Reason.MISSING
    if not isinstance(value, Mapping):
        return Reason.MALFORMED
    if len(value) > MAX_TOKENS:
        return Reason.TOO_MANY_TOKENS
    listed: list[tuple[float, str]] = []
    for token, entry in value.items():
        logprob = entry if type(entry) is float else _number(entry)
        if logprob is None or not isinstance(token, str):
            return Reason.MALFORMED
        if math.isnan(logprob):
            return Reason.NOT_FINITE
        if logprob > NOISE:
            return Reason.NOT_FINITE if math.isinf(logprob) else Reason.POSITIVE
        if logprob > FLOOR:
            listed.append((-logprob, token))
    if len(listed) == 1 and -listed[0][0] >= ALMOST_CERTAIN:
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
    """Seconds since the epoch of an ISO 8601 time (UTC if no zone is named), or None."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
