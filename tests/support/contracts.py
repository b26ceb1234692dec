"""Contracts and exceptions to be changed by the tests that need one."""

from __future__ import annotations

from typing import Any

from schemas import Call, Reason
from streams.core.guards.contract import Contract, Contracts, Terms
from streams.core.guards.written_exception import WrittenException
from tests.support.messages import call, scored, unscorable

#: A paper as it stands in a file; the terms are those of the calls in ``tests.support.messages``.
PAPER: dict[str, Any] = {
    "provider": "example",
    "tier": "cheap",
    "model": "cheap-model",
    "relies_on": {"logprobs": "accept", "top_logprobs": "accept", "model": "accept", "usage": "spend"},
    "min_k": 5,
    "model_ids": ["cheap-model-2026-*"],
    "guarantee": {"promise": "logprobs on every answer", "written_in": "order form, section 3"},
    "owner": "platform",
    "signed_off_by": "Ada Lovelace",
}
EXCEPTION: dict[str, Any] = {
    "id": "migration",
    "tier": "cheap",
    "model": "cheap-model",
    "reasons": ["logprobs_null"],
    "owner": "Grace Hopper",
    "reason": "the gateway drops logprobs until its update",
    "expires": "2026-12-31",
}


def contract(**changes: Any) -> Contract:
    return Contract.model_validate(PAPER | changes)


def exception(**changes: Any) -> WrittenException:
    return WrittenException.model_validate(EXCEPTION | changes)


def contracts(*exceptions: WrittenException) -> Contracts:
    big = contract(tier="big", model="big-model", model_ids=("big-model-*",))
    return Contracts(contracts=(contract(), big), exceptions=exceptions)


def terms(**changes: Any) -> Terms:
    return Terms.model_validate({name: PAPER[name] for name in ("relies_on", "min_k", "model_ids")} | changes)


def kept(**changes: Any) -> Call:
    """A call that keeps the contract."""
    return call(**changes)


def broken(reason: Reason = Reason.LOGPROBS_NULL, label: str | None = "refund", **changes: Any) -> Call:
    """A call that breaks the contract for this reason; its text names a label all the same."""
    return call(signal=unscorable(reason, label=label), **changes)


def few_alternatives() -> Call:
    return call(signal=scored(k=2))


def other_model(model: str = "other-model") -> Call:
    return call(model_returned=model)
