"""The page of the metrics: what a worker and a prober serve under ``/metrics``."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from reference.markdown import code, table
from streams.observability.metrics import MetricsObserver
from streams.prober.metrics import ProbeMetrics

_INTRODUCTION = """# Metrics

Served as `/metrics` on `metrics.host` and `metrics.port`, in the format of Prometheus. A histogram has the endings `_bucket`, `_count`
and `_sum`. Alerts are in `deploy/prometheus/alerts.yml`, explained in [On call](../oncall.md), a dashboard in `deploy/grafana/dashboard.json`.
"""


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for process, registry in registries().items():
        rows = [
            (code(name), kind, ", ".join(map(code, labels)) or "none", text)
            for name, kind, labels, text in metrics(registry)
        ]
        parts += [f"## Of a {process}", table(("metric", "type", "labels", "what it is"), rows)]
    return "\n\n".join(parts)


def registries() -> dict[str, CollectorRegistry]:
    """Return the registry of each kind of process."""
    prober = CollectorRegistry()
    ProbeMetrics(prober)
    return {"worker": MetricsObserver().registry, "prober": prober}


def metrics(registry: CollectorRegistry) -> list[tuple[str, str, tuple[str, ...], str]]:
    """Return each metric's name as Prometheus stores it, its type, its labels and its help text."""
    # A metric has no public way to tell its labels while none has a value.
    found: list[Any] = [each for each in registry._collector_to_names if isinstance(each, MetricWrapperBase)]
    return [
        (each._name + ("_total" if each._type == "counter" else ""), each._type, each._labelnames, each._documentation)
        for each in found
    ]
