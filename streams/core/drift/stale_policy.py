"""Whether the policy in force is stale: the model that it was made for has changed, and that is not acknowledged yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import replace

from schemas import Alert, Tier
from streams.core.drift.alert_kinds import MODEL_MOVED, WatchKind
from streams.core.policy.policy import Decision, WhenStale
from streams.core.policy.reasons import DecisionReason

#: Alerts that are remembered, so that one that is sent again after it was acknowledged is not news.
_REMEMBERED = 1_000


class StalePolicy:
    """Follows the alerts topic for one policy and some sources; in bounded memory.

    An alert of a changed model makes the policy stale that it names in ``details.policy_id``, or any if it names none. It
    holds until somebody acknowledges the source, or until another policy is in force.
    """

    def __init__(self, policy_id: str, sources: Iterable[str]) -> None:
        self._policy_id = policy_id
        self._sources = frozenset(sources)
        self._standing: dict[str, Alert] = {}
        self._known: OrderedDict[str, None] = OrderedDict()

    @property
    def standing(self) -> tuple[Alert, ...]:
        """The alerts that are not acknowledged, the latest of each source."""
        return tuple(self._standing.values())

    def __bool__(self) -> bool:
        return bool(self._standing)

    def update(self, alert: Alert) -> bool:
        """Take the next alert of the topic; return whether staleness began or ended with it."""
        was = bool(self)
        if alert.source in self._sources and alert.kind == WatchKind.ACKNOWLEDGED:
            self._standing.pop(alert.source, None)
        elif alert.source in self._sources and alert.kind in MODEL_MOVED and self._is_news(alert):
            self._standing[alert.source] = alert
        return was != bool(self)

    def _is_news(self, alert: Alert) -> bool:
        if alert.details.get("policy_id", self._policy_id) != self._policy_id or alert.alert_id in self._known:
            return False
        self._known[alert.alert_id] = None
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return True


def tightened(decision: Decision, tier: Tier, when_stale: WhenStale) -> Decision:
    """Return what becomes of a decision while the policy is stale: what it would accept goes on, or to a reviewer.

    Beyond the big tier there is only the reviewer. ``ignore`` accepts, and says so.
    """
    if decision.action != "accept":
        return decision
    reasons = (*decision.reasons, DecisionReason.POLICY_STALE)
    if when_stale == "ignore":
        return replace(decision, reasons=reasons)
    goes_on = (tier, when_stale) == ("cheap", "escalate")
    return replace(decision, action="escalate" if goes_on else "review", reasons=reasons)
