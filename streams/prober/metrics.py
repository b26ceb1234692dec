"""Prometheus metrics of probes: what they cost, and what came of them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge

from schemas import Probe
from streams.models.probed_endpoint import ProbedEndpoint


class ProbeMetrics:
    """What a prober counts, in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._probes = Counter(
            "hedgerow_probes_total",
            "Probes sent, by outcome: ok, missing (no logprobs), or the error's short name",
            ("endpoint", "outcome"),
            registry=registry,
        )
        self._usd_per_year = Gauge(
            "hedgerow_probe_usd_per_year",
            "What the latest probe would cost over a year of its schedule, USD",
            ("endpoint",),
            registry=registry,
        )
        self._leads = Gauge("hedgerow_prober_leads", "1 while this prober is the one that probes", registry=registry)

    def probed(self, probe: Probe, endpoint: ProbedEndpoint) -> None:
        """Count one probe."""
        self._probes.labels(probe.endpoint, outcome(probe)).inc()
        if probe.cost_usd is not None and (probe.prompt_tokens or probe.completion_tokens):
            self._usd_per_year.labels(probe.endpoint).set(probe.cost_usd * endpoint.probes_per_year)

    def leads(self, *, leading: bool) -> None:
        """Set whether this prober leads."""
        self._leads.set(leading)


def outcome(probe: Probe) -> str:
    """Return what came of a probe, in a word."""
    if probe.error is not None:
        return probe.error.partition(":")[0]
    return "missing" if probe.logprobs is None else "ok"
