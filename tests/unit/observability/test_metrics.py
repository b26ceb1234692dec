"""From what delivery reports to what Prometheus reads."""

from __future__ import annotations

import aiohttp
import pytest
import structlog
from prometheus_client import CollectorRegistry

from schemas import Reason, Scored, Unscorable
from streams.delivery.observer import Observer
from streams.errors import StopWorker
from streams.observability.http import serve_metrics
from streams.observability.metrics import MetricsObserver
from streams.settings import MetricsSettings
from tests.support.messages import (
    attempt,
    call,
    classification,
    dead_letter,
    escalation,
    review,
    routed,
    scored,
    unscorable,
)

SPENT = 0.000016


class Counted:
    """An observer and what its registry says."""

    def __init__(self) -> None:
        self.observer = MetricsObserver()

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.observer.registry.get_sample_value(f"hedgerow_{name}", labels)

    def handled(self, *outputs: object, agent: str = "score") -> None:
        for output in outputs:
            self.observer.handled(agent, [output], 0.5)  # type: ignore[list-item]


@pytest.fixture
def counted() -> Counted:
    return Counted()


class TestTickets:
    def test_by_route(self, counted: Counted) -> None:
        counted.handled(routed(), routed(), escalation(), review())
        counted.handled(routed(decided_by="big", calls=(call(), call("big"))), agent="escalate")
        assert {route: counted("tickets_total", route=route) for route in ("cheap", "big", "escalated", "review")} == {
            "cheap": 2,
            "big": 1,
            "escalated": 1,
            "review": 1,
        }

    def test_by_reason(self, counted: Counted) -> None:
        counted.handled(escalation(), escalation(), review(reasons=("cheap:low_confidence", "big:tiers_disagree")))
        assert counted("reasons_total", route="escalated", reason="low_confidence") == 2
        assert counted("reasons_total", route="review", reason="big:tiers_disagree") == 1


class TestCalls:
    def test_every_attempt_of_both_tiers_counts_once(self, counted: Counted) -> None:
        attempts = (attempt(outcome="http_429", cost_usd=0, latency_ms=100), attempt(latency_ms=2_000))
        counted.handled(classification().model_copy(update={"call": call(attempts=attempts)}), agent="classify")
        counted.handled(escalation())
        counted.handled(routed(decided_by="big", calls=(call(attempts=attempts), call("big"))), agent="escalate")
        assert counted("model_attempts_total", tier="cheap", outcome="http_429") == 1
        assert counted("model_attempts_total", tier="cheap", outcome="ok") == 1
        assert counted("model_attempts_total", tier="big", outcome="ok") == 1
        assert counted("model_cost_usd_total", tier="cheap") == pytest.approx(SPENT)
        assert counted("model_cost_usd_total", tier="big") == pytest.approx(SPENT)
        assert counted("model_latency_seconds_count", tier="cheap") == 2
        assert counted("model_latency_seconds_sum", tier="cheap") == pytest.approx(2.1)

    def test_a_review_after_both_tiers_counts_the_big_call(self, counted: Counted) -> None:
        counted.handled(review(), agent="escalate")
        assert counted("model_attempts_total", tier="big", outcome="ok") == 1
        assert counted("model_attempts_total", tier="cheap", outcome="ok") is None

    @pytest.mark.parametrize(("signal", "count"), [(scored(confidence=0.7, entropy=0.5), 1), (unscorable(), None)])
    def test_confidence_and_entropy_are_of_scored_answers(
        self, counted: Counted, signal: Scored | Unscorable, count: float | None
    ) -> None:
        counted.handled(classification(signal), agent="classify")
        assert counted("confidence_count", tier="cheap") == count
        assert counted("entropy_nats_count", tier="cheap") == count
        if count:
            assert counted("confidence_sum", tier="cheap") == pytest.approx(0.7)
            assert counted("confidence_bucket", tier="cheap", le="0.65") == 0
            assert counted("confidence_bucket", tier="cheap", le="0.7") == 1
            assert counted("entropy_nats_bucket", tier="cheap", le="0.6") == 1


class TestShare:
    def test_of_escalations_among_decisions_on_cheap_answers(self, counted: Counted) -> None:
        counted.handled(routed(), routed(), escalation(unscorable(Reason.LOGPROBS_NULL)))
        assert counted("escalation_share", agent="score") == pytest.approx(1 / 3)

    def test_what_the_big_tier_decides_is_no_second_decision(self, counted: Counted) -> None:
        counted.handled(routed(), escalation())
        counted.handled(routed(decided_by="big", calls=(call(), call("big"))), review(), agent="escalate")
        assert counted("escalation_share", agent="score") == pytest.approx(1 / 2)

    def test_an_audit_or_an_abstention_was_not_escalated(self, counted: Counted) -> None:
        counted.handled(escalation(), review(calls=(call(),), reasons=("audit",)))
        assert counted("escalation_share", agent="score") == pytest.approx(1 / 2)

    def test_is_over_the_last_decisions_only(self, counted: Counted) -> None:
        counted.handled(*[escalation()] * 500, *[routed()] * 400)
        assert counted("escalation_share", agent="score") == pytest.approx(0.2)
        counted.handled(*[routed()] * 100)
        assert counted("escalation_share", agent="score") == 0


class TestDelivery:
    def test_what_delivery_reports(self, counted: Counted) -> None:
        observer = counted.observer
        counted.handled(dead_letter(), agent="classify")
        observer.dead_lettered("classify", dead_letter(reason="not_json"))
        observer.retried("classify", "TryAgain")
        observer.skipped("score", "known_id", 3)
        observer.in_flight("classify", 7, 2)
        observer.rebalanced("score", 8, 0.1)
        observer.committed("score", "p.classifications", 3, 100, 25)
        assert counted("dead_letters_total", agent="classify", reason="not_json") == 1
        assert counted("retries_total", agent="classify", reason="TryAgain") == 1
        assert counted("skipped_total", agent="score", why="known_id") == 3
        assert counted("in_flight", agent="classify") == 7
        assert counted("queued", agent="classify") == 2
        assert counted("rebalances_total", agent="score") == 1
        assert counted("consumer_lag", agent="score", topic="p.classifications", partition="3") == 25
        assert counted("handling_seconds_sum", agent="classify") == 0.5

    def test_a_partition_that_went_to_another_worker_has_no_lag_here(self, counted: Counted) -> None:
        """Both workers would report it, and a sum over them would count it twice, for ever."""
        counted.observer.committed("score", "t", 0, 10, 25)
        counted.observer.committed("classify", "t", 0, 10, 7)
        counted.observer.rebalanced("score", 0, 0.1)
        assert counted("consumer_lag", agent="score", topic="t", partition="0") is None
        assert counted("consumer_lag", agent="classify", topic="t", partition="0") == 7

    def test_no_hook_is_left_to_the_default(self) -> None:
        hooks = [name for name in vars(Observer) if not name.startswith("_")]
        assert [name for name in hooks if name not in vars(MetricsObserver)] == []

    def test_two_workers_in_one_process_count_apart(self) -> None:
        one, other = Counted(), Counted()
        one.handled(routed())
        assert other("tickets_total", route="cheap") is None
        registry = CollectorRegistry()
        assert MetricsObserver(registry).registry is registry


class TestPage:
    async def test_is_served_where_a_port_is_set(self, counted: Counted) -> None:
        counted.handled(routed())
        async with (
            serve_metrics(MetricsSettings(port=0), counted.observer) as port,
            aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as response,
        ):
            assert response.headers["content-type"].startswith("text/plain")
            assert 'hedgerow_tickets_total{route="cheap"} 1.0' in await response.text()

    async def test_is_not_served_without_one(self, counted: Counted) -> None:
        async with serve_metrics(MetricsSettings(), counted.observer) as port:
            assert port is None

    async def test_a_port_that_is_taken_stops_the_worker_with_one_line(self, counted: Counted) -> None:
        async with serve_metrics(MetricsSettings(port=0), counted.observer) as port:
            with pytest.raises(StopWorker, match=f"on 127.0.0.1, port {port}: Address already in use") as caught:
                async with serve_metrics(MetricsSettings(port=port, port_search=0), counted.observer):
                    pass
        assert len(str(caught.value).splitlines()) == 1

    async def test_several_processes_from_one_file_take_the_next_free_ports(self, counted: Counted) -> None:
        async with serve_metrics(MetricsSettings(port=0), counted.observer) as first:
            settings = MetricsSettings(port=first, port_search=200)
            with structlog.testing.capture_logs() as lines:
                async with (
                    serve_metrics(settings, counted.observer) as second,
                    aiohttp.request("GET", f"http://127.0.0.1:{second}/metrics") as response,
                ):
                    assert response.status == 200
        assert first is not None
        assert second is not None
        assert first < second <= first + 200
        assert lines[0]["url"] == f"http://127.0.0.1:{second}/metrics"
        taken = lines[0]["in_use"]
        assert taken == (f"{first}" if second == first + 1 else f"{first} to {second - 1}")

    async def test_a_host_that_is_not_here_is_no_reason_to_try_other_ports(self, counted: Counted) -> None:
        with pytest.raises(StopWorker, match=r"on 203\.0\.113\.1, port 9100: "):
            async with serve_metrics(MetricsSettings(host="203.0.113.1", port=9100), counted.observer):
                pass

    async def test_an_error_of_the_worker_is_not_taken_for_one_of_the_page(self, counted: Counted) -> None:
        with pytest.raises(ConnectionResetError):
            async with serve_metrics(MetricsSettings(port=0), counted.observer):
                raise ConnectionResetError("the worker's own")


class TestTotals:
    def test_they_add_up_what_was_counted(self, counted: Counted) -> None:
        before = counted.observer.totals()
        assert not before
        assert before.lag is None
        counted.handled(classification(), agent="classify")
        counted.handled(routed(), escalation(), review())
        counted.handled(routed(decided_by="big", calls=(call(), call("big"))), agent="escalate")
        counted.observer.dead_lettered("score", dead_letter())
        counted.observer.committed("score", "classifications", 0, 5, 3)
        counted.observer.committed("score", "classifications", 1, 5, 4)
        now = counted.observer.totals()
        assert now.handled == {"classify": 1, "score": 3, "escalate": 1}
        assert (now.routed, now.escalated, now.to_review, now.dead_letters, now.lag) == (2, 1, 1, 1, 7)
        calls = sum(counted("model_attempts_total", tier=tier, outcome="ok") or 0 for tier in ("cheap", "big"))
        assert now.model_calls == calls > 0
        assert now.cost_usd == pytest.approx(calls * SPENT)

    def test_a_difference_is_what_was_done_in_between(self, counted: Counted) -> None:
        counted.handled(routed(), routed())
        before = counted.observer.totals()
        assert not counted.observer.totals() - before
        counted.handled(routed())
        done = counted.observer.totals() - before
        assert done
        assert (done.handled, done.routed) == ({"score": 1}, 1)
