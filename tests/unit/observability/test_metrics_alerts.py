"""What the guards say, as metrics."""

from __future__ import annotations

from schemas import Message
from streams.observability.metrics import MetricsObserver
from tests.support.contracts import broken
from tests.support.messages import alert, review, routed


class Counted:
    def __init__(self, *outputs: Message) -> None:
        self.observer = MetricsObserver()
        self.observer.handled("score", outputs, 0.1)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.observer.registry.get_sample_value(f"hedgerow_{name}", labels)


def test_alerts_by_source_and_kind() -> None:
    counted = Counted(alert(kind="contract_changed"), alert(kind="contract_changed"), alert(source="escalations"))
    assert counted("alerts_total", source="cheap", kind="contract_changed") == 2
    assert counted("alerts_total", source="escalations", kind="model_changed") == 1


def test_the_breaker_is_shown_as_it_is_whoever_raised_the_alert() -> None:
    counted, is_open = Counted(alert(kind="contract_changed", details={"breaker": "open"})), False
    assert counted("breaker_open", endpoint="cheap") is None
    counted.observer.breaker("cheap", lambda: is_open)
    assert counted("breaker_open", endpoint="cheap") == 0
    is_open = True
    assert counted("breaker_open", endpoint="cheap") == 1


def test_every_use_of_an_exception() -> None:
    excused = routed(
        confidence=None, entropy=None, calls=(broken(),), reasons=("exception:migration", "no_signal:logprobs_null")
    )
    assert Counted(excused, excused, routed())("exception_accepts_total", exception="migration") == 2


def test_tickets_beyond_the_budget() -> None:
    over = review(reasons=("low_confidence", "escalation_budget"))
    assert Counted(over, review(), over)("over_budget_total") == 2
