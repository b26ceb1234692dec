"""One readable line for each kind of message: when, what about, which outcome, by whom, how sure, what it cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from schemas import (
    Alert,
    Call,
    Classification,
    DeadLetter,
    Escalation,
    Example,
    Message,
    Probe,
    Review,
    Routed,
    Scored,
    Ticket,
    Verdict,
    WorkerState,
    total_usd,
)
from schemas.headers import FORGOTTEN_BY_HEADER, Closing
from streams.cli.terminal import cut, one_line
from streams.core.wording import counted

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

_GAP = "  "
_INDENT = "    "
#: Free text keeps at least this many cells.
_LEAST = 20


@dataclass(frozen=True, slots=True)
class Line:
    """What is said about a message: facts and reasons, which stay whole, and free text, which may be cut."""

    facts: tuple[str, ...]
    text: str = ""
    reasons: tuple[str, ...] = ()


def line_of(message: Message) -> Line:
    """Return the line of a message of any topic; raises KeyError for a type that travels on none."""
    return _LINES[type(message)](message)


def shown(line: Line, width: int) -> str:
    """Return the line as plain text in at most ``width`` cells, if its facts leave room for that.

    Reasons for which there is no room go on in lines below, indented.
    """
    shown = _GAP.join(one_line(fact) for fact in line.facts if fact)
    for number, reason in enumerate(map(one_line, line.reasons), 1):
        text = reason if number == len(line.reasons) else f"{reason},"
        gap = _GAP if number == 1 else " "
        fits = cell_len(shown.rpartition("\n")[2]) + len(gap) + cell_len(text) <= width
        shown += f"{gap}{text}" if fits else f"\n{_INDENT}{text}"
    if not (text := one_line(line.text)):
        return shown
    return f"{shown}{_GAP}{cut(text, max(_LEAST, width - cell_len(shown) - len(_GAP)))}"


#: The compacted topics on which a record without a value forgets what its key names.
FORGETTING = ("memory", "routed")


def line_of_record(record: ConsumerRecord, prefix: str, width: int) -> str:
    """Return a record's line: its time, then what its message says, or where it is if it holds an invalid one."""
    from streams.kafka.readers import decode

    message, topic = decode(record, prefix), record.topic.removeprefix(prefix)
    if message is None and record.value is None and topic in FORGETTING:
        by = next((f" by {_as_text(name)}" for header, name in record.headers if header == FORGOTTEN_BY_HEADER), "")
        line = Line((_as_text(record.key), f"forgotten{by}"))
    elif message is None:
        value = _as_text(record.value)
        line = Line((f"{topic}/{record.partition}/{record.offset}", "invalid message"), value)
    else:
        line = line_of(message)
        if closing := Closing.of(record.headers):
            line = replace(line, facts=(*line.facts, f"{closing.state} by {closing.by}"))
    return shown(replace(line, facts=(time_of(record.timestamp), *line.facts)), width)


def _as_text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")


def time_of(at_ms: int | None) -> str:
    """Return a Unix time in milliseconds as date and time in UTC; "-" for one that is missing."""
    if at_ms is None or at_ms < 0:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _cost(usd: float | None) -> str:
    return "cost unknown" if usd is None else f"${usd:.6f}"


def label_text(label: str | None) -> str:
    """Return a label as text, or that none of them fits."""
    return "none of the labels" if label is None else label


def _confidence(confidence: float | None) -> str:
    return "" if confidence is None else f"confidence {confidence:.2f}"


def _said(call: Call) -> tuple[str, ...]:
    """What a tier answered, and how sure it was."""
    sure = (
        _confidence(call.signal.confidence) if isinstance(call.signal, Scored) else f"no signal ({call.signal.reason})"
    )
    return call.signal.label or "no label", f"by {call.tier}", sure


def _ticket(ticket: Ticket) -> Line:
    return Line((ticket.ticket_id, "" if ticket.label is None else f"gold label {ticket.label}"), ticket.text)


def _classification(message: Classification) -> Line:
    return Line((message.ticket_id, *_said(message.call), _cost(message.call.cost_usd)))


def _escalation(message: Escalation) -> Line:
    said = ("cheap not asked",) if message.call is None else (*_said(message.call), _cost(message.call.cost_usd))
    return Line((message.ticket_id, *said, "escalated"), reasons=message.reasons)


def _routed(message: Routed) -> Line:
    facts = (
        label_text(message.label),
        f"by {message.decided_by}",
        _confidence(message.confidence),
        _cost(message.cost_usd),
    )
    return Line((message.ticket_id, *facts), reasons=message.reasons)


def _review(message: Review) -> Line:
    suggested = "no suggestion" if message.suggested is None else f"suggested {message.suggested}"
    cost = _cost(total_usd(call.cost_usd for call in message.calls))
    return Line((message.ticket_id, suggested, f"{message.uncertainty:.2f} nats", cost), reasons=message.reasons)


def _verdict(message: Verdict) -> Line:
    suggested = "" if message.suggested is None else f"suggested {message.suggested}"
    return Line((message.ticket_id, label_text(message.label), f"by {message.decided_by}", suggested), message.note)


def _dead_letter(letter: DeadLetter) -> Line:
    attempts = counted(letter.attempts, "attempt")
    return Line((letter.origin, f"by {letter.agent}", letter.reason, attempts), letter.detail)


def _probe(probe: Probe) -> Line:
    if probe.logprobs:
        best = max(probe.logprobs, key=probe.logprobs.__getitem__)
        found = f"k = {len(probe.logprobs)}, likeliest {best!r} at {probe.logprobs[best]:.4f}"
    else:
        found = "no logprobs"
    return Line(
        (probe.endpoint, found, "cost unknown" if probe.cost_usd is None else f"${probe.cost_usd:.8f}"),
        probe.error or "",
    )


def _alert(alert: Alert) -> Line:
    return Line((alert.source, alert.kind), alert.summary)


def _example(example: Example) -> Line:
    return Line(
        (example.example_id, label_text(example.label), f"from a {example.source}", f"by {example.by}"), example.text
    )


def _worker_state(state: WorkerState) -> Line:
    money, escalations = state.money, state.escalations
    return Line(
        (
            state.worker,
            "stopped" if state.stopped else "",
            f"${sum(each.used for each in money.minutes) / 1e9:.6f} within the hour",
            f"leases ${(money.leased + money.asked) / 1e9:.6f}",
            f"{sum(each.used for each in escalations.minutes)} escalations",
            f"leases {escalations.leased + escalations.asked}",
        )
    )


_LINES: dict[type[Message], Callable[[Any], Line]] = {
    Ticket: _ticket,
    Classification: _classification,
    Escalation: _escalation,
    Routed: _routed,
    Review: _review,
    Verdict: _verdict,
    DeadLetter: _dead_letter,
    Probe: _probe,
    Alert: _alert,
    Example: _example,
    WorkerState: _worker_state,
}
