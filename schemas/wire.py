"""How messages are written: in which version, and how much of the calls a result carries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from schemas.base import Message
from schemas.fleet import WorkerState
from schemas.memory import Example
from schemas.perplexity import NoPerplexity, Unmeasured
from schemas.results import CallSummary, Review, Routed, Verdict
from schemas.signal import Unscorable
from schemas.tickets import Call, Classification, Escalation
from schemas.watch import Probe

WireVersion = Literal[1, 2]
Calls = Literal["full", "summary", "none"]
M = TypeVar("M", bound=Message)

_DECIDED_BY = frozenset({"cheap", "big", "human"})
_NO_PERPLEXITY = frozenset(NoPerplexity)


@dataclass(frozen=True, slots=True)
class WireFormat:
    """Writes messages. ``calls`` is what a result carries of its calls: all, a summary of each, or nothing."""

    version: WireVersion = 2
    calls: Calls = "full"

    def encode(self, message: Message) -> bytes:
        """Return the message as UTF-8 JSON.

        What version 1 has no words for (a result without a label, an unknown cost) is written in version 2: a reader of
        version 1 then names the version that it does not know, and takes nothing for what it is not.
        """
        if self.calls != "full" and isinstance(message, Routed) and message.calls:
            summary = tuple(map(CallSummary.of, message.calls)) if self.calls == "summary" else ()
            message = message.model_copy(update={"calls": (), "summary": summary})
        if self.version == 1 and _fits_version_1(message):
            message = _in_version_1(message)
            if isinstance(message, Review | Verdict):
                message = message.model_copy(update={"review_id": _review_id_in_version_1(message)})
        return message.encode()

    def encode_to_keep(self, review: Review) -> bytes:
        """Return the review as a store keeps it: under its own id in either version, by which older releases find it."""
        return (_in_version_1(review) if self.version == 1 and _fits_version_1(review) else review).encode()


NEWEST = WireFormat()


def _fits_version_1(message: Message) -> bool:
    """Return whether version 1 can say what the message says."""
    if isinstance(message, Example | WorkerState):
        return False  # there were none
    if isinstance(message, Routed) and (message.label is None or message.decided_by not in _DECIDED_BY):
        return False
    if isinstance(message, Verdict) and message.label is None:
        return False
    if isinstance(message, Probe):
        return message.cost_usd is not None
    return all(map(_call_fits_version_1, _calls(message)))


def _call_fits_version_1(call: Call) -> bool:
    if call.cost_usd is None:
        return False
    result = None if call.perplexity is None else call.perplexity.result
    return not isinstance(result, Unmeasured) or result.reason in _NO_PERPLEXITY


def _in_version_1(message: M) -> M:
    update: dict[str, Any] = {"v": 1}
    if isinstance(message, Classification | Escalation | Review):
        update["ticket"] = message.ticket.model_copy(update={"v": 1})
    if isinstance(message, Classification | Escalation):
        update["call"] = None if message.call is None else _call_in_version_1(message.call)
    elif isinstance(message, Routed | Review | Verdict):
        update["calls"] = tuple(map(_call_in_version_1, message.calls))
    return message.model_copy(update=update)


def _review_id_in_version_1(message: Review | Verdict) -> str:
    """Return the review id that readers of version 1 expect; one that is not the ticket's stays as it is."""
    if message.review_id != Review.id_for(message.ticket_id, message.revision, message.run):
        return message.review_id
    return Review.id_in_version_1(message.ticket_id, message.run)


def _call_in_version_1(call: Call) -> Call:
    if not isinstance(call.signal, Unscorable):
        return call
    return call.model_copy(update={"signal": call.signal.in_version_1()})


def _calls(message: Message) -> Iterable[Call]:
    if isinstance(message, Classification | Escalation):
        return () if message.call is None else (message.call,)
    return message.calls if isinstance(message, Routed | Review | Verdict) else ()
