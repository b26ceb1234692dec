"""hedgerow budget: what all workers together have used of the limits on money and escalations."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import now_ms, run
from streams.cli.tables import Column, show_table

if TYPE_CHECKING:
    from streams.core.fleet import Fleet
    from streams.settings import Settings


def budget(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what the workers have used of each limit within the hour, the day and the month (UTC), and what they lease."""
    from streams.core.fleet import Fleet
    from streams.fleet.link import group_of
    from streams.observability.logs import configure_logging
    from streams.settings import load_settings

    configure_logging(level="error", libraries=logging.CRITICAL)
    settings = load_settings(config)
    if not (settings.has_budgets or as_json):
        print("no limits are set: guards.max_usd_per_hour, _per_day and _per_month, policy.max_escalations_per_hour")
        return
    fleet = run(_read(settings)) if settings.has_budgets else Fleet(group_of(settings.topics.prefix))
    found = _report(fleet, settings, now_ms())
    if as_json:
        print(orjson.dumps(found).decode())
        return
    rows = [_row(each) for each in found["limits"]]
    show_table(
        [Column("limit"), Column("used", right=True), Column("leased", right=True), Column("of", right=True)], rows
    )
    print(f"{found['workers_live']} of {len(found['workers'])} workers that said what they used are live")


async def _read(settings: Settings) -> Fleet:
    from schemas import WorkerState
    from streams.core.fleet import Fleet
    from streams.fleet.link import group_of
    from streams.kafka.readers import messages_there

    prefix = settings.topics.prefix
    fleet = Fleet(group_of(prefix))
    async for state in messages_there(WorkerState, settings.broker.connection, prefix=prefix):
        fleet.update(state)
    return fleet


def _report(fleet: Fleet, settings: Settings, at_ms: int) -> dict[str, Any]:
    """Return the limits with what is used and leased, in USD or tickets, and the workers that said so."""
    limits = []
    for thing, caps in settings.budgets.items():
        scale = 1e9 if thing == "money" else 1
        for period, most in caps:
            total, leased = fleet.used(thing, period, at_ms), fleet.leased(thing, period, at_ms)
            name = f"max_usd_per_{period}" if thing == "money" else f"max_escalations_per_{period}"
            limits.append(
                {"limit": name, "used": (total - leased) / scale, "leased": leased / scale, "most": most / scale}
            )
    live = set(fleet.live(at_ms))
    workers = [
        {"worker": state.worker, "at_ms": state.at_ms, "live": state.worker in live, "stopped": state.stopped}
        for state in fleet
    ]
    return {"limits": limits, "workers": workers, "workers_live": len(live)}


def _row(limit: dict[str, Any]) -> tuple[str, str, str, str]:
    form = "${:.4f}" if "usd" in limit["limit"] else "{:.0f}"
    return (limit["limit"], *(form.format(limit[name]) for name in ("used", "leased", "most")))
