"""Guards on plain values: on an endpoint's contract, on the share of escalations, and on what an hour may cost.

Every guard sees what its own worker process sees, and starts afresh with it, but for the budgets, which hold for all
workers together (``streams.core.fleet``). ``AlertBook`` makes one alert of what several find. What stands is said
again after ``remind_s``, so that an alert that was lost with a revoked partition is not lost for good.
"""

from __future__ import annotations

from streams.core.guards.breaker import Permit
from streams.core.guards.budgets import CostEstimate, EscalationBudget, SpendBudget
from streams.core.guards.decision_guard import DecisionGuard, Judged
from streams.core.guards.endpoint_guard import EndpointGuard
from streams.core.guards.finding import AlertKind, Finding
from streams.core.guards.limits import GuardLimits

__all__ = [
    "AlertKind",
    "CostEstimate",
    "DecisionGuard",
    "EndpointGuard",
    "EscalationBudget",
    "Finding",
    "GuardLimits",
    "Judged",
    "Permit",
    "SpendBudget",
]
