"""Chooses when labelled tickets may answer alone: the rule that answers the most, of those whose error is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from streams.core.calibration.bounds import upper_bound
from streams.core.calibration.policy_replay import replay
from streams.core.calibration.records import Record
from streams.core.policy.fitted import BoundedMemory, Promise
from streams.core.policy.policy import MemoryRule, Policy

_SIMILARITIES = (0.8, 0.84, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
_VOTES = (1, 2, 3, 5)
RULES = tuple(
    MemoryRule(min_similarity=similarity, min_votes=votes) for similarity, votes in product(_SIMILARITIES, _VOTES)
)
"""The rules tried. In each the near-duplicates must agree to the last."""


def choose_memory_rule(
    records: Sequence[Record], policy: Policy, promise: Promise
) -> tuple[MemoryRule, BoundedMemory] | None:
    """Return the rule that answers the most records, and the bound on its error; None if no rule can be bounded.

    All rules are tried on the same records, so each is tested at a level that leaves the promise's for all of them
    together (Bonferroni). A rule that keeps less of the big model's accuracy than promised is left out, and
    so is one that leaves no record to the models. An answer about a ticket that is out of scope is wrong.
    """
    level = 1 - (1 - promise.level) / len(RULES)
    found: list[tuple[int, MemoryRule, BoundedMemory]] = []
    for rule in RULES:
        tried = policy.model_copy(update={"memory": rule, "audit_share": 0.0})
        answered = [one for one in replay(tried, records) if one.end == "memory"]
        wrong = sum(not one.right for one in answered)
        big = sum(one.record.gold is not None and one.record.big.signal.label == one.record.gold for one in answered)
        bound = upper_bound(wrong, len(answered), level)
        if (
            0 < len(answered) < len(records)
            and bound <= promise.max_error
            and len(answered) - wrong >= promise.keep * big
        ):
            found.append((len(answered), rule, BoundedMemory(answered=len(answered), wrong=wrong, bound=bound)))
    # Of two that answer as many, the one that asks for more similarity.
    best = max(found, key=lambda one: (one[0], one[1].min_similarity, one[1].min_votes), default=None)
    return None if best is None else best[1:]
