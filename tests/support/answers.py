"""Recorded answers of two simulated models, whose chance of being right is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from schemas import Scored, Ticket, Tier
from streams.core.calibration.records import Record
from streams.core.policy.fitted import Promise
from tests.support.messages import LABELS, attempt, call, scored

CHEAP_USD, BIG_USD = 1e-5, 1.7e-4
PROMISE = Promise(max_error=0.05, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1)


def honest(confidence: float) -> float:
    return confidence


def underconfident(confidence: float) -> float:
    """What a model that shows this is really worth."""
    odds = math.log(confidence / (1 - confidence)) / 0.6
    return 1 / (1 + math.exp(-odds))


def records(count: int, seed: int = 0, *, worth: Callable[[float], float] = honest) -> list[Record]:
    """``count`` tickets with gold labels: the cheap model is right in some 83 %, the big one in some 96 %."""
    chance = random.Random(seed)
    return [record(f"t-{seed}-{number}", chance, worth) for number in range(count)]


def record(ticket_id: str, chance: random.Random, worth: Callable[[float], float] = honest) -> Record:
    gold = chance.choice(LABELS)
    ticket = Ticket(ticket_id=ticket_id, text="x" * chance.randint(5, 200), label=gold, slice=chance.choice("ab"))
    return Record(
        ticket=ticket,
        cheap=call("cheap", answer(gold, shown(chance, 5.0, 1.0), chance, worth), attempts=paid(CHEAP_USD)),
        big=call("big", answer(gold, shown(chance, 24.0, 1.0), chance, worth), attempts=paid(BIG_USD)),
    )


def true_error(rows: list[Record], ends: dict[str, Tier], worth: Callable[[float], float] = honest) -> float:
    """The expected share of wrong labels among the tickets that end at the tiers given, by ticket id."""
    wrong = [1 - worth(confidence_of(row, ends[row.ticket.ticket_id])) for row in rows if row.ticket.ticket_id in ends]
    return sum(wrong) / len(wrong) if wrong else 0.0


def confidence_of(row: Record, tier: Tier) -> float:
    signal = (row.cheap if tier == "cheap" else row.big).signal
    assert isinstance(signal, Scored)
    return signal.confidence


def shown(chance: random.Random, alpha: float, beta: float) -> float:
    return min(0.999, max(1 / len(LABELS) + 0.01, chance.betavariate(alpha, beta)))


def paid(usd: float) -> tuple[object, ...]:
    return (attempt(cost_usd=usd),)


def answer(gold: str, confidence: float, chance: random.Random, worth: Callable[[float], float] = honest) -> Scored:
    """An answer shown with this confidence, and right as often as that is worth."""
    others = [label for label in LABELS if label != gold]
    label = gold if chance.random() < worth(confidence) else chance.choice(others)
    return answer_of(label, confidence)


def answer_of(label: str, confidence: float) -> Scored:
    rest = (1 - confidence) / (len(LABELS) - 1)
    probs = {name: confidence if name == label else rest for name in LABELS}
    entropy = -sum(p * math.log(p) for p in probs.values() if p > 0)
    return scored(label, confidence=confidence, entropy=entropy, label_probs=probs, token_confidence=confidence)
