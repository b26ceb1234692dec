"""A policy under which labelled tickets may answer alone."""

from __future__ import annotations

import datetime

from schemas import Neighbour
from streams.core.policy.fitted import BoundedMemory, Fitted, FittedMemory, FittedTier, Promise
from streams.core.policy.policy import MemoryRule, Policy

TIER = FittedTier(model_asked="m", model_returned="m-1", prompt_hash="p")
PROMISE = Promise(max_error=0.05, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1)
FITTED = Fitted(
    data_hash="d",
    records=1000,
    date=datetime.date(2026, 8, 1),
    labels=("refund", "account"),
    cheap=TIER,
    big=TIER,
    promise=PROMISE,
    memory=FittedMemory(embedding_model="e", examples=8, size=100),
    tier_zero=BoundedMemory(answered=200, wrong=0, bound=0.04),
    figures={},
)
RULE = MemoryRule(min_similarity=0.9, min_votes=2, min_share=0.75)
POLICY = Policy(memory=RULE, fitted=FITTED)


def votes(*rows: tuple[str | None, float]) -> list[Neighbour]:
    return [Neighbour(id=f"e-{n}", similarity=similarity, label=label) for n, (label, similarity) in enumerate(rows)]
