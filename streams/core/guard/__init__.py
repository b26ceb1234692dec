"""Live guards on plain values: on an endpoint's contract, on the share of escalations, and on what an hour may cost.

Every guard sees what its own worker process sees, and starts afresh with it: there is no shared state to fail.
Limits per hour are therefore limits of one process, and several processes may raise the same alert. What stands is said
again after ``remind_s``, so that an alert that was lost with a revoked partition is not lost for good.
"""

from __future__ import annotations

from streams.core.guard.breaker import Permit
from streams.core.guard.budget import EscalationBudget, SpendBudget
from streams.core.guard.decision import DecisionGuard, Judged
from streams.core.guard.endpoint import EndpointGuard
from streams.core.guard.finding import AlertKind, Finding
from streams.core.guard.limits import GuardLimits

__all__ = [
    "AlertKind",
    "DecisionGuard",
    "EndpointGuard",
    "EscalationBudget",
    "Finding",
    "GuardLimits",
    "Judged",
    "Permit",
    "SpendBudget",
]
