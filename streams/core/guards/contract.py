"""What is relied on at a model endpoint, written down and signed for, and what an answer shows to be broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas import Call, Reason, Scored, Signal, Tier
from streams.core.guards.written_exception import Name, Words, WrittenException

ResponseField = Literal["logprobs", "top_logprobs", "model", "usage", "fingerprint"]
#: What a field is relied on for: to accept answers, to know what they cost, to notice that the model changed.
Use = Literal["accept", "spend", "watch"]
USES: tuple[Use, ...] = ("accept", "spend", "watch")

_NEEDED: Mapping[ResponseField, Use] = {"logprobs": "accept", "top_logprobs": "accept"}

#: Answers that say nothing about the contract: they are about the one ticket, or no answer was asked for.
_SILENT = frozenset(
    {
        Reason.REFUSED,
        Reason.FILTERED,
        Reason.TOOL_CALL,
        Reason.NO_CONTENT,
        Reason.TRUNCATED,
        Reason.REQUEST_REFUSED,
        Reason.BREAKER_OPEN,
        Reason.OVER_BUDGET,
    }
)
#: Answers whose logprobs could be read: what is wrong with them is the answer, not the endpoint.
_READABLE = frozenset({Reason.NOT_A_LABEL, Reason.AMBIGUOUS_LABEL, Reason.REASONING_ONLY})
#: What the rest of the reasons point to, apart from the logprobs themselves.
_BODY = frozenset({Reason.NO_ANSWER, Reason.NOT_JSON, Reason.ERROR_BODY, Reason.UNKNOWN_SHAPE})
_LIST = frozenset({Reason.NO_ALTERNATIVES, Reason.IMPOSSIBLE_MASS})


class _Paper(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Terms(_Paper):
    """What an endpoint's answers must hold. The defaults are what Hedgerow cannot do without."""

    relies_on: dict[ResponseField, Use] = Field(default_factory=lambda: dict(_NEEDED))
    """Field of the response to what it is relied on for."""
    min_k: Annotated[int, Field(ge=1, le=20)] = 1
    """The fewest alternatives (with the written token) that may come back at the answer's first token."""
    model_ids: tuple[Name, ...] = ()
    """The ids that may come back, as patterns (``*`` and ``?``): an alias resolves to a dated id. Empty: not relied on."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for field, use in _NEEDED.items():
            if self.relies_on.get(field) != use:
                raise ValueError(f"relies_on must have {field}: {use}, because nothing is accepted without them")
        if bool(self.model_ids) != ("model" in self.relies_on):
            raise ValueError("relies_on.model and model_ids belong together: give both or neither")
        return self

    def allows(self, model: str | None) -> bool:
        """Return whether this returned model id is allowed."""
        return model is not None and any(fnmatchcase(model, pattern) for pattern in self.model_ids)


class Guarantee(_Paper):
    """What the provider promises for this tier of service, and where that is written."""

    promise: Words
    written_in: Words


class Contract(Terms):
    """The terms of one endpoint, with who answers for them."""

    provider: Name
    tier: Tier
    model: Name
    """The model as it is asked for."""
    guarantee: Guarantee
    owner: Words
    signed_off_by: Words


class Contracts(_Paper):
    """The contracts file: one contract an endpoint, and the written exceptions."""

    contracts: tuple[Contract, ...]
    exceptions: tuple[WrittenException, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        endpoints = [(contract.tier, contract.model) for contract in self.contracts]
        for tier, model in endpoints:
            if endpoints.count((tier, model)) > 1:
                raise ValueError(f"two contracts for the {tier} tier's {model}")
        ids = [exception.id for exception in self.exceptions]
        for exception in self.exceptions:
            if ids.count(exception.id) > 1:
                raise ValueError(f"two exceptions have the id {exception.id}")
            if (exception.tier, exception.model) not in endpoints:
                raise ValueError(
                    f"exception {exception.id} is about the {exception.tier} tier's {exception.model}, "
                    "for which there is no contract"
                )
        return self

    def contract(self, tier: Tier, model: str) -> Contract | None:
        """Return the endpoint's contract, or None if there is none."""
        return next((each for each in self.contracts if (each.tier, each.model) == (tier, model)), None)

    def exceptions_of(self, tier: Tier, model: str) -> tuple[WrittenException, ...]:
        """Return the endpoint's exceptions, expired ones too."""
        return tuple(each for each in self.exceptions if (each.tier, each.model) == (tier, model))


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answer showed of its endpoint."""

    signal: Signal
    model: str | None
    fingerprint: str | None
    has_usage: bool

    @classmethod
    def of(cls, call: Call) -> Self:
        """Read an observation off a call."""
        last = call.attempts[-1] if call.attempts else None
        usage = last is not None and last.prompt_tokens > 0 and not last.estimated
        return cls(call.signal, call.model_returned, call.fingerprint, usage)


class BreachName(StrEnum):
    """The breaches other than those whose name is the ``Reason`` of an answer without a signal."""

    K_BELOW_MINIMUM = "k_below_minimum"
    """Fewer alternatives came back than the terms ask for."""
    MODEL_NOT_ALLOWED = "model_not_allowed"
    """Another model answered."""
    USAGE_MISSING = "usage_missing"
    """No token counts came back."""
    FINGERPRINT_MISSING = "fingerprint_missing"
    """No fingerprint came back."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One way in which an answer broke the terms; ``name`` is counted: a ``BreachName``, or the signal's reason."""

    name: str
    field: ResponseField | Literal["answer"]
    use: Use
    expected: str
    found: str


def tells(signal: Signal) -> bool:
    """Return whether an answer says anything about the logprobs of its endpoint."""
    return isinstance(signal, Scored) or signal.reason not in _SILENT


def compare(terms: Terms, seen: Observation) -> tuple[Breach, ...]:
    """Return every way in which an answer broke the terms.

    What cannot be judged is no breach: a refusal has no logprobs to miss (see ``tells``), and a call without an answer
    has neither a model nor a usage.
    """
    signal = seen.signal
    breaches = []
    if not isinstance(signal, Scored) and signal.reason not in _SILENT | _READABLE:
        breaches.append(_of_signal(signal.reason, signal.detail))
        if signal.reason in _BODY or signal.reason is Reason.CAPABILITY:
            return tuple(breaches)
    if isinstance(signal, Scored) and signal.k < terms.min_k:
        breaches.append(
            Breach(
                BreachName.K_BELOW_MINIMUM,
                "top_logprobs",
                "accept",
                f"at least {terms.min_k}",
                f"{signal.k} at one token",
            )
        )
    if not tells(signal) and seen.model is None:
        return tuple(breaches)
    for field, use in terms.relies_on.items():
        if field == "model" and not terms.allows(seen.model):
            expected = f"one of {', '.join(terms.model_ids)}"
            breaches.append(Breach(BreachName.MODEL_NOT_ALLOWED, field, use, expected, seen.model or "none"))
        elif field == "usage" and not seen.has_usage:
            breaches.append(Breach(BreachName.USAGE_MISSING, field, use, "token counts", "none"))
        elif field == "fingerprint" and seen.fingerprint is None:
            breaches.append(Breach(BreachName.FINGERPRINT_MISSING, field, use, "a fingerprint", "none"))
    return tuple(breaches)


def _of_signal(reason: str, detail: str) -> Breach:
    found = f"{reason}: {detail}" if detail else str(reason)
    if reason in _BODY:
        return Breach(str(reason), "answer", "accept", "an answer that can be read", found)
    if reason in _LIST:
        return Breach(str(reason), "top_logprobs", "accept", "alternatives with logprobs", found)
    return Breach(str(reason), "logprobs", "accept", "the logprobs of the answer", found)
