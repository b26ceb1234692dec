"""What a guard has to say, and how often it says so."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class AlertKind(StrEnum):
    """The kinds of alert that the guards raise, and with which an operator pauses and resumes."""

    SIGNAL_OUTAGE = "signal_outage"
    """Some calls break the contract: an outage, which passes."""
    CONTRACT_CHANGED = "contract_changed"
    """All calls since a moment break the contract: an operator has to act."""
    MODEL_NOT_ALLOWED = "model_not_allowed"
    """A model answered that the contract does not allow."""
    RECOVERED = "recovered"
    """What an earlier alert of this source said is over."""
    ESCALATION_BUDGET = "escalation_budget"
    """The hour's escalations are used up: tickets go to a reviewer instead."""
    SPEND_BUDGET = "spend_budget"
    """The money of an hour, day or month is spent: no model is asked."""
    ESCALATION_SILENCE = "escalation_silence"
    """Next to nothing is escalated, although something always was."""
    ESCALATION_FLOOD = "escalation_flood"
    """Far more is escalated than ever before."""
    ENDPOINT_DOWN = "endpoint_down"
    """An endpoint does not answer at all."""
    ACCOUNT = "account"
    """An endpoint does not answer since the account has no money or no quota left."""
    EXCEPTION_IN_USE = "exception_in_use"
    """Answers without a signal are accepted under a written exception."""
    REVIEW_OVERLOAD = "review_overload"
    """More reviews wait, or came within an hour, than reviewers can bear: tickets wait upstream."""
    PAUSED = "paused"
    """An operator has stopped the workers from taking tickets, for maintenance."""
    RESUMED = "resumed"
    """An operator lets them take tickets again."""


@dataclass(frozen=True, slots=True)
class Finding:
    """An alert without its time: what it is about, what happened, and the numbers behind it (plain JSON values)."""

    kind: AlertKind
    source: str
    summary: str
    details: dict[str, Any] = field(default_factory=dict)


class Bell:
    """Rings when something begins, and again only after ``again_s`` seconds, however often it is pulled."""

    def __init__(self, again_s: float) -> None:
        self._again_s = again_s
        self._rang: dict[Hashable, float] = {}

    def pull(self, key: Hashable, now: float) -> bool:
        """Return whether to speak about ``key`` now (seconds)."""
        last = self._rang.get(key)
        if last is not None and now - last < self._again_s:
            return False
        self._rang[key] = now
        return True

    def rang(self, key: Hashable) -> bool:
        """Return whether ``key`` has been spoken about and is not over."""
        return key in self._rang

    def over(self, key: Hashable) -> None:
        """Forget ``key``: the next time is news again."""
        self._rang.pop(key, None)
