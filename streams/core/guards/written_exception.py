"""The one way from no signal to accept: a written exception, narrow, signed for, and with an end."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from schemas import Call, Reason, Tier, Unscorable
from schemas.base import MAX_NAME
from streams.core.policy.reasons import DecisionReason

#: The signal is not there. Everything else (a broken signal, a refusal, no answer) can never be excused.
ABSENCE = frozenset({Reason.LOGPROBS_ABSENT, Reason.LOGPROBS_NULL, Reason.LOGPROBS_EMPTY, Reason.NO_ALTERNATIVES})

Words = Annotated[str, Field(min_length=1, max_length=1000)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME)]


class WrittenException(BaseModel):
    """Accept answers of one endpoint without a signal, until a date. In use it is counted and raises an alert."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    """Stands in the reasons of every result that rests on it: ``exception:<id>``."""
    tier: Tier
    model: Name
    """The model as it is asked for."""
    reasons: Annotated[frozenset[Reason], Field(min_length=1)]
    """Which kinds of absence are excused; nothing but absence can be."""
    labels: Annotated[frozenset[Name], Field(min_length=1)] | None = None
    """Only answers with these labels; None: with any label."""
    owner: Words
    reason: Words
    """Why this is worth more than knowing how sure the model was."""
    expires: date
    """The last day (UTC) on which it is in force. There is no exception without one."""

    @field_validator("reasons")
    @classmethod
    def _only_absence(cls, reasons: frozenset[Reason]) -> frozenset[Reason]:
        if others := sorted(reasons - ABSENCE):
            raise ValueError(f"cannot excuse {', '.join(others)}: only {', '.join(sorted(ABSENCE))}")
        return reasons

    @property
    def decision_reason(self) -> str:
        """The reason on a result that rests on it."""
        return DecisionReason.EXCEPTION.of(self.id)

    def in_force(self, on: date) -> bool:
        """Return whether it holds on this day (UTC)."""
        return on <= self.expires

    def covers(self, call: Call, on: date) -> bool:
        """Return whether this answer may be accepted without a signal on this day.

        The signal must be absent in an excused way, and the answer's text must name a label of the exception's scope.
        """
        signal = call.signal
        return (
            isinstance(signal, Unscorable)
            and signal.reason in self.reasons
            and signal.reason in ABSENCE
            and signal.label is not None
            and (self.labels is None or signal.label in self.labels)
            and (call.tier, call.model_asked) == (self.tier, self.model)
            and self.in_force(on)
        )
