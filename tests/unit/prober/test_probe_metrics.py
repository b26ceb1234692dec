"""What a prober counts."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.models.probed_endpoint import ProbedEndpoint
from streams.prober.metrics import ProbeMetrics, outcome
from tests.support.messages import probe


def endpoint(**fields: Any) -> ProbedEndpoint:
    return ProbedEndpoint(name="cheap", base_url="http://model.test/v1", model="gpt-4o-mini", **fields)


def test_what_a_year_of_probes_costs() -> None:
    registry = CollectorRegistry()
    metrics = ProbeMetrics(registry)
    metrics.probed(probe(prompt_tokens=1, completion_tokens=1, cost_usd=7.5e-7), endpoint(interval_s=1800))
    per_year = ("hedgerow_probe_usd_per_year", {"endpoint": "cheap"})
    assert registry.get_sample_value(*per_year) == pytest.approx(7.5e-7 * 2 * 8766)
    metrics.probed(probe(logprobs=None, error="timeout: no answer within 20 s"), endpoint())
    assert registry.get_sample_value(*per_year) == pytest.approx(7.5e-7 * 2 * 8766), "an unknown cost is not zero"
    assert registry.get_sample_value("hedgerow_probes_total", {"endpoint": "cheap", "outcome": "timeout"}) == 1


def test_outcomes_are_one_word() -> None:
    assert outcome(probe()) == "ok"
    assert outcome(probe(logprobs=None)) == "missing"
    assert outcome(probe(logprobs=None, error="http_429: slow: down")) == "http_429"


def test_who_leads() -> None:
    registry = CollectorRegistry()
    metrics = ProbeMetrics(registry)
    for leading in (True, False):
        metrics.leads(leading=leading)
        assert registry.get_sample_value("hedgerow_prober_leads") == leading
