"""How often models changed, by provider: what stored probes of many endpoints add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.core.drift import MOVEMENTS, Kind, ProbeRow, Replay, Unusable

YEAR_S: Final = 365.25 * 24 * 3600

SAME_EVENT: Final = 24
"""Rows. A change shows in the logprobs, the model id or both; alarms this close to each other are about one change."""

_CHANGES: Final = MOVEMENTS | {Kind.MODEL_CHANGE}


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """One line of the table; rates are None if no time was covered, the cost if no row names one."""

    provider: str
    endpoints: int
    years: float
    """Of all its endpoints together."""
    probes: int
    changes: int
    changes_per_year: float | None
    """Of one endpoint."""
    usd_per_year: float | None
    """Of one endpoint."""


@dataclass(slots=True)
class _Endpoint:
    provider: str
    first_s: float | None = None
    last_s: float | None = None
    probes: int = 0
    changes: int = 0
    last_change: int | None = None
    usd: float | None = None


class DriftReport:
    """Takes probe rows, each endpoint's in order, and counts the changes that a detector finds."""

    def __init__(self, detector: str, providers: Mapping[str, str] | None = None) -> None:
        self._replay = Replay(detector)
        self._providers = providers or {}
        self._endpoints: dict[str, _Endpoint] = {}

    def feed(self, row: ProbeRow | Unusable) -> None:
        """Take one row; rows without an endpoint are left out."""
        alarms, facts = list(self._replay.feed(row)), row.facts
        if facts.endpoint is None:
            return
        endpoint = self._endpoints.get(facts.endpoint)
        if endpoint is None:
            provider = facts.provider or self._providers.get(facts.endpoint, "unknown")
            endpoint = self._endpoints[facts.endpoint] = _Endpoint(provider)
        endpoint.probes += 1
        if facts.cost_usd is not None:
            endpoint.usd = (endpoint.usd or 0.0) + facts.cost_usd
        seconds = facts.seconds
        if seconds is not None:
            endpoint.first_s = seconds if endpoint.first_s is None else min(endpoint.first_s, seconds)
            endpoint.last_s = seconds if endpoint.last_s is None else max(endpoint.last_s, seconds)
        for alarm in alarms:
            if alarm["kind"] not in _CHANGES:
                continue
            if endpoint.last_change is None or alarm["index"] - endpoint.last_change > SAME_EVENT:
                endpoint.changes += 1
            endpoint.last_change = alarm["index"]

    def table(self) -> list[ProviderRow]:
        """Return a line for each provider, by name, and one for all together if there are several."""
        groups: dict[str, list[_Endpoint]] = {}
        for endpoint in self._endpoints.values():
            groups.setdefault(endpoint.provider, []).append(endpoint)
        lines = [_line(provider, groups[provider]) for provider in sorted(groups)]
        return lines if len(lines) < 2 else [*lines, _line("all", list(self._endpoints.values()))]


def _line(provider: str, endpoints: list[_Endpoint]) -> ProviderRow:
    years = sum((each.last_s or 0.0) - (each.first_s or 0.0) for each in endpoints) / YEAR_S
    changes = sum(each.changes for each in endpoints)
    priced = [each.usd for each in endpoints if each.usd is not None]
    return ProviderRow(
        provider=provider,
        endpoints=len(endpoints),
        years=years,
        probes=sum(each.probes for each in endpoints),
        changes=changes,
        changes_per_year=changes / years if years else None,
        usd_per_year=sum(priced) / years if years and priced else None,
    )
