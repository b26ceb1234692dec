"""Guards on plain values: on an endpoint's contract, on the share of escalations, and on what an hour may cost.

Guards see what their own worker process sees, and add to it what those of the other workers say
(``streams.core.fleet``). ``AlertBook`` makes one alert of what several find. What stands is said
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
