"""What a page says, as plain values: its HTML shows them, and its JSON is them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schemas import Call, Scored
from schemas import Example as Remembered
from streams.core.memory.example import Example
from streams.core.signal.redaction import Redaction, redact
from streams.desk.words import in_words
from streams.reviews.claims import Claim
from streams.reviews.journal import Entry
from streams.reviews.store import QueueItem

Facts = dict[str, Any]

_SNIPPET = 200
#: What is shown of a text at first, so that a page stays small; the rest is one click away.
SHOWN_TEXT = 20_000
#: The labels with the greatest shares that are drawn as bars.
_BARS = 6


class Labelled(Protocol):
    """Labelled tickets: those of a file, or on the topic ``memory``."""

    def get(self, example_id: str, /) -> Example | Remembered | None:
        """Return one by its id; None if there is none."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What the settings say about showing tickets."""

    labels: Mapping[str, str]
    """Each label with its description, which may be empty, in the order of the settings."""
    redactions: Sequence[Redaction]
    deadline_ms: int | None
    """How long a ticket may wait, milliseconds; None: for any time."""
    examples: Labelled
    """The labelled tickets by their id."""

    def redacted(self, text: str) -> str:
        """Return a text without what the settings take out of tickets."""
        return redact(text, self.redactions)


def snippet(text: str, sight: Sight) -> str:
    """Return the beginning of a text on one line, redacted."""
    # On one line first: what is cut in the middle, and so is not redacted, then lies far behind what is shown.
    line = sight.redacted(" ".join(text[:SHOWN_TEXT].split())[: 4 * _SNIPPET])
    return line[:_SNIPPET] + ("…" if len(line) > _SNIPPET else "")


def row_facts(item: QueueItem, sight: Sight, at_ms: int, claim: Claim | None, *, flagged: bool, blind: bool) -> Facts:
    """Return one row of the queue."""
    review = item.review
    seen = {
        "uncertainty": review.uncertainty,
        "suggested": review.suggested,
        "reasons": list(review.reasons),
        "why": _why(review.reasons),
    }
    hidden: Facts = {"uncertainty": None, "suggested": None, "reasons": [], "why": []}
    return {
        "ticket_id": review.ticket_id,
        "review_id": review.review_id,
        "text": snippet(review.ticket.text, sight),
        "slice": review.ticket.slice,
        **(hidden if blind else seen),
        **_age(item, sight, at_ms),
        "claim": claim_facts(claim),
        "flagged": flagged,
        "blind": blind,
    }


def ticket_facts(
    item: QueueItem,
    sight: Sight,
    at_ms: int,
    *,
    claim: Claim | None,
    history: Iterable[Entry],
    flags: Sequence[tuple[str, str, int]],
    blind: bool,
    whole: bool,
) -> Facts:
    """Return all that the page of a ticket says; ``blind`` leaves out what could lead a second reviewer."""
    review, ticket = item.review, item.review.ticket
    text = sight.redacted(ticket.text)
    shown = text if whole else text[:SHOWN_TEXT]
    facts: Facts = {
        "ticket_id": review.ticket_id,
        "review_id": review.review_id,
        "text": shown,
        "cut": len(text) - len(shown),
        "slice": ticket.slice,
        "metadata": {
            name: sight.redacted(value) if isinstance(value, str) else value for name, value in ticket.metadata.items()
        },
        **_age(item, sight, at_ms),
        "labels": [
            {"number": number, "label": label, "description": words}
            for number, (label, words) in enumerate(sight.labels.items(), start=1)
        ],
        "claim": claim_facts(claim),
        "flags": [{"by": name, "note": "" if blind else note, "at_ms": when} for name, note, when in flags],
        "state": _state(item),
        "blind": blind,
        "run": review.run,
    }
    if blind:
        return facts | {"uncertainty": None, "suggested": None, "why": [], "tiers": [], "decision": None, "history": []}
    decision = None
    if item.decision is not None:
        verdict = item.decision.verdict
        decision = {
            "label": verdict.label,
            "by": verdict.decided_by,
            "at_ms": verdict.at_ms,
            "note": verdict.note,
            "number": verdict.decision,
            "sent": item.decision.sent,
            "undo_until_ms": item.undo_until_ms,
        }
    return facts | {
        "uncertainty": review.uncertainty,
        "suggested": review.suggested,
        "policy_id": review.policy_id,
        "why": _why(review.reasons),
        "tiers": [_tier_facts(call, sight) for call in review.calls],
        "decision": decision,
        "history": [entry_facts(entry) for entry in history],
    }


def claim_facts(claim: Claim | None) -> Facts | None:
    """Return who has a ticket open, and until when."""
    return None if claim is None else {"by": claim.name, "since_ms": claim.since_ms, "until_ms": claim.until_ms}


def entry_facts(entry: Entry) -> Facts:
    """Return one line of the journal."""
    return {
        "at_ms": entry.at_ms,
        "by": entry.name,
        "action": entry.action,
        "ticket_id": entry.ticket_id,
        "label": entry.label,
        "detail": entry.detail,
        "took_ms": entry.took_ms,
    }


def _age(item: QueueItem, sight: Sight, at_ms: int) -> Facts:
    deadline = None if sight.deadline_ms is None else item.added_ms + sight.deadline_ms
    return {
        "added_ms": item.added_ms,
        "age_s": max(0, (at_ms - item.added_ms) // 1000),
        "deadline_ms": deadline,
        "late": deadline is not None and at_ms > deadline and item.is_open,
    }


def _state(item: QueueItem) -> str:
    if item.is_open:
        return "waiting"
    if item.decision is None:
        return "again" if item.again is not None else "closed"
    if item.decision.sent:
        return "sent"
    return "pending" if item.undo_until_ms is not None else "decided"


def _why(reasons: Iterable[str]) -> list[Facts]:
    return [{"reason": reason, "words": in_words(reason)} for reason in reasons]


def _tier_facts(call: Call, sight: Sight) -> Facts:
    signal = call.signal
    facts: Facts = {
        "tier": call.tier,
        "model": call.model_returned or call.model_asked,
        "label": signal.label,
        "cost_usd": call.cost_usd,
        "novelty": call.novelty,
        "neighbour_label": call.neighbour_label,
        "neighbour_share": call.neighbour_share,
        "neighbours": [_neighbour(shown.id, shown.similarity, sight) for shown in reversed(call.shown)],
    }
    if not isinstance(signal, Scored):
        return facts | {"reason": str(signal.reason), "detail": signal.detail, "bars": []}
    shares = sorted(signal.label_probs.items(), key=lambda pair: -pair[1])[:_BARS]
    return facts | {
        "reason": None,
        "confidence": signal.confidence,
        "entropy": signal.decides,
        "top_k_mass": signal.top_k_mass,
        "bars": [{"label": label, "share": share} for label, share in shares],
    }


def _neighbour(name: str, similarity: float, sight: Sight) -> Facts:
    example = sight.examples.get(name)
    text = None if example is None else snippet(example.text, sight)
    return {"id": name, "similarity": similarity, "text": text, "label": None if example is None else example.label}
