"""Whether an endpoint answers at all: no answer is not a doubtful answer, so tickets wait for one."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas import Call, Reason

#: Calls in a row without an answer that make an outage.
FAILURES: Final = 5
#: What the last attempt of a call was if the endpoint did answer, though with nothing that can be read.
_ANSWERED: Final = frozenset({"ok", "unscorable", "body_too_long"})
#: What an attempt was that was not answered in time, or for which there was no connection in time.
TIMEOUTS: Final = frozenset({"timeout", "connect_timeout"})
#: What an attempt was if the account has no money or no quota left.
ACCOUNT_OUTCOMES: Final = frozenset({"http_402", "quota_used_up"})

OutageMode = Literal["hold", "escalate", "review"]


class OutageRule(BaseModel):
    """What becomes of tickets while an endpoint does not answer: the ``outage`` section of a tier."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: OutageMode = "hold"
    """Wait until it answers again, ask the big tier instead, or leave the ticket to a reviewer."""
    hold_s: Annotated[float, Field(gt=0)] | None = None
    """The longest that a ticket is held, seconds; then it goes on as one without an answer. Default: no limit."""
    trial_every_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """The pause between two trials of an endpoint that does not answer, seconds; longer if it asks for that."""
    resume_per_s: Annotated[float, Field(gt=0, le=10_000)] = 20.0
    """How many held tickets go on in a second, in each worker, once it answers again: the rest keeps its places."""


def is_unanswered(call: Call) -> bool:
    """Return whether no answer came back at all: no connection, a time-out, 5xx, or 429 beyond the attempts."""
    return (
        call.signal.status == "unscorable"
        and call.signal.reason is Reason.NO_ANSWER
        and not (call.attempts and call.attempts[-1].outcome in _ANSWERED)
    )


class Availability:
    """Counts the calls in a row that an endpoint did not answer, tickets and trials alike.

    Failures at random look like no outage: with 30 % of the attempts failing and four attempts a call, five calls in a
    row fail less than once in a trillion.
    """

    def __init__(self, failures: int = FAILURES) -> None:
        self._failures = failures
        self._unanswered = 0

    @property
    def is_down(self) -> bool:
        """Whether the endpoint is taken to be unavailable."""
        return self._unanswered >= self._failures

    def resume(self) -> None:
        """Take it that an outage had begun before this did."""
        self._unanswered = self._failures

    def answered(self) -> bool:
        """Take a call that was answered; return whether it ends an outage."""
        was_down, self._unanswered = self.is_down, 0
        return was_down

    def unanswered(self) -> bool:
        """Take a call that was not answered; return whether it begins an outage."""
        self._unanswered += 1
        return self._unanswered == self._failures
