"""The handlers that decide, behind guards that find nothing wrong: no contract, no budget of money, a still clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from schemas import Call, Reason, Ticket, Tier, Unscorable
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.guards import Clock, Guards
from streams.agents.score import ScoreHandler
from streams.core.guards import GuardLimits
from streams.core.policy.policy import Policy
from tests.support.messages import LABELS, call


class AskedModel:
    """A tier's model that answers with what ``answer`` returns for a text."""

    def __init__(self, tier: Tier, answer: Callable[[str], Awaitable[Call]]) -> None:
        self.tier: Tier = tier
        self.model_asked = f"{tier}-model"
        self._answer = answer

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        return await self._answer(ticket.text)

    async def try_out(self) -> Call:
        return await self._answer("try out")

    def unasked(self, reason: Reason, detail: str) -> Call:
        return call(self.tier, Unscorable(reason=reason, detail=detail), model_returned=None, attempts=())


def guards(policy: Policy) -> Guards:
    return Guards(None, GuardLimits(), policy.max_escalations_per_hour, Clock(lambda: 0.0, lambda: 0))


def classify(ask: Callable[[str], Awaitable[Call]], policy: Policy | None = None, **more: Any) -> ClassifyHandler:
    policy = policy or Policy()
    guarded = guards(policy)
    model = guarded.guarded(AskedModel("cheap", ask))
    return ClassifyHandler(model.ask, guarded.escalates, policy, len(LABELS), **more)


def score(policy: Policy, label_count: int = len(LABELS), *, stale: Callable[[], bool] = lambda: False) -> ScoreHandler:
    check = guards(policy).decisions("cheap", "cheap-model").check
    return ScoreHandler(policy, label_count, check=check, stale=stale)


def escalate(
    ask: Callable[[str], Awaitable[Call]],
    policy: Policy,
    label_count: int = len(LABELS),
    *,
    stale: Callable[[], bool] = lambda: False,
    **more: Any,
) -> EscalateHandler:
    guarded = guards(policy)
    check = guarded.decisions("big", "big-model").check
    model = guarded.guarded(AskedModel("big", ask))
    return EscalateHandler(model.ask, policy, label_count, check=check, stale=stale, **more)
