"""Valid messages of every topic, to be changed by the tests that need one."""

from __future__ import annotations

from typing import Any

from schemas import (
    Alert,
    Attempt,
    Call,
    Classification,
    DeadLetter,
    Escalation,
    Example,
    Message,
    Probe,
    Reason,
    Review,
    Routed,
    Scored,
    Ticket,
    Tier,
    Turn,
    Unscorable,
    Verdict,
    WorkerState,
)
from streams.agents.arrival import Arrival

TURN = Turn(ticket_at_ms=1_700_000_000_000)
LABELS = ("refund", "shipping", "account")


def scored(label: str = "refund", **changes: Any) -> Scored:
    """A confident answer; the fields that are given are changed."""
    fields: dict[str, Any] = {
        "label": label,
        "confidence": 0.9,
        "entropy": 0.3,
        "token_confidence": 0.9,
        "token_entropy": 0.3,
        "top_k_mass": 0.99,
        "k": 20,
        "label_probs": {name: 0.9 if name == label else 0.05 for name in LABELS},
        "out_of_label": 0.01,
        "margin": 0.85,
        "min_logprob": -0.1,
        "mean_logprob": -0.05,
    }
    fields |= changes
    return Scored(**({"decision_entropy": fields["entropy"]} | fields))


def unscorable(reason: Reason = Reason.LOGPROBS_NULL, label: str | None = None) -> Unscorable:
    return Unscorable(reason=reason, detail="nothing to read", label=label)


def attempt(**changes: Any) -> Attempt:
    fields = {
        "outcome": "ok",
        "at_ms": 1_700_000_000_000,
        "latency_ms": 12.5,
        "prompt_tokens": 100,
        "completion_tokens": 2,
        "cost_usd": 0.000016,
    }
    return Attempt(**(fields | changes))


def call(tier: Tier = "cheap", signal: Scored | Unscorable | None = None, **changes: Any) -> Call:
    fields = {
        "tier": tier,
        "model_asked": f"{tier}-model",
        "model_returned": f"{tier}-model-2026-08-01",
        "fingerprint": "fp_1",
        "prompt_hash": "0123456789ab",
        "answer": "refund",
        "signal": signal if signal is not None else scored(),
        "attempts": (attempt(),),
    }
    return Call(**(fields | changes))


def arrival(ticket_id: str = "t-1", text: str = "Where is my money?", **changes: Any) -> Arrival:
    """A ticket as classify is called with it."""
    return Arrival(ticket(ticket_id, text, **changes), TURN)


def ticket(ticket_id: str = "t-1", text: str = "Where is my money?", **changes: Any) -> Ticket:
    return Ticket(ticket_id=ticket_id, text=text, **changes)


def classification(signal: Scored | Unscorable | None = None, **changes: Any) -> Classification:
    return Classification(ticket=ticket(**changes), call=call(signal=signal))


def escalation(signal: Scored | Unscorable | None = None, **changes: Any) -> Escalation:
    return Escalation(
        ticket=ticket(**changes), call=call(signal=signal), reasons=("low_confidence",), policy_id="default-1"
    )


def review(ticket_id: str = "t-1", **changes: Any) -> Review:
    fields = {
        "review_id": Review.id_for(ticket_id),
        "ticket": ticket(ticket_id),
        "calls": (call(), call("big")),
        "reasons": ("big:high_entropy",),
        "uncertainty": 1.3,
        "suggested": "refund",
        "policy_id": "default-1",
    }
    return Review(**(fields | changes))


def routed(ticket_id: str = "t-1", **changes: Any) -> Routed:
    fields = {
        "result_id": Routed.id_for(ticket_id),
        "ticket_id": ticket_id,
        "label": "refund",
        "decided_by": "cheap",
        "confidence": 0.9,
        "entropy": 0.3,
        "top_k_mass": 0.99,
        "policy_id": "default-1",
        "calls": (call(),),
    }
    return Routed(**(fields | changes))


def verdict(ticket_id: str = "t-1", **changes: Any) -> Verdict:
    fields = {
        "verdict_id": "verdict-1",
        "review_id": Review.id_for(ticket_id),
        "ticket_id": ticket_id,
        "label": "refund",
        "decided_by": "ada",
        "at_ms": 1_700_000_000_000,
        "note": "the receipt is attached",
        "suggested": "shipping",
        "calls": (call(), call("big")),
    }
    return Verdict(**(fields | changes))


def dead_letter(**changes: Any) -> DeadLetter:
    fields = {
        "letter_id": "letter-1",
        "topic": "tickets",
        "partition": 3,
        "offset": 17,
        "key": b"\xff\x00",
        "key_size": 2,
        "original": bytes(range(256)),
        "original_size": 256,
        "tombstone": False,
        "agent": "classify",
        "reason": "not_json",
        "error_class": "GiveUp",
        "detail": "Invalid JSON",
        "attempts": 1,
        "at_ms": 1_700_000_000_000,
    }
    return DeadLetter(**(fields | changes))


def probe(**changes: Any) -> Probe:
    fields = {
        "probe_id": "probe-1",
        "endpoint": "cheap",
        "at_ms": 1_700_000_000_000,
        "model_asked": "cheap-model",
        "logprobs": {"a": -0.5, "b": -1.5},
    }
    return Probe(**(fields | changes))


def alert(**changes: Any) -> Alert:
    fields = {
        "alert_id": "alert-1",
        "source": "cheap",
        "kind": "model_changed",
        "at_ms": 1_700_000_000_000,
        "summary": "another model answers",
        "details": {"p_value": 0.001, "models": ["a", "b"]},
    }
    return Alert(**(fields | changes))


def example(example_id: str = "t-1", **changes: Any) -> Example:
    fields = {
        "example_id": example_id,
        "ticket_id": example_id,
        "text": "Where is my money?",
        "label": "refund",
        "source": "file",
        "by": "ada",
        "at_ms": 1_700_000_000_000,
        "embedding_model": "letters",
        "vector": b"\x00\x3c\x00\x00",
    }
    return Example(**(fields | changes))


def worker_state(worker: str = "host-1a2b3c", **changes: Any) -> WorkerState:
    fields = {
        "worker": worker,
        "group": "hedgerow",
        "number": 1,
        "at_ms": 1_700_000_000_000,
        "money": {
            "minutes": [{"at": 28_333_333, "used": 1_500_000}],
            "days": [{"at": 19_675, "used": 4_500_000}],
            "leased": 250_000,
        },
    }
    return WorkerState(**(fields | changes))


def one_of_each() -> dict[str, Message]:
    """Return topic name to a full message of it."""
    return {
        "tickets": ticket(label="refund", slice="plain", metadata={"channel": "mail"}),
        "classifications": classification(label="refund"),
        "escalations": escalation(unscorable(label="refund")),
        "routed": routed(reasons=("cheap:low_confidence",), calls=(call(), call("big"))),
        "reviews": review(),
        "verdicts": verdict(),
        "dead-letters": dead_letter(),
        "probes": probe(error="timeout", fingerprint="fp_1", model_returned="cheap-model-1"),
        "alerts": alert(),
        "memory": example(slice="plain"),
        "fleet": worker_state(),
    }
