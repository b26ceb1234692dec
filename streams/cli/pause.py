"""hedgerow pause and resume: all workers stop taking tickets, for maintenance, and go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from schemas import Tier
from streams.cli.login import login_name
from streams.cli.options import DEFAULT_CONFIG, Config
from streams.cli.runtime import now_ms, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.core.guards import AlertKind
    from streams.core.guards.pauses import Pauses
    from streams.settings import Settings

OfTier = Annotated[Tier | None, typer.Option(help="Tier whose agent stops: cheap or big (default: all agents)")]
By = Annotated[str, typer.Option(help="Name of the person who says so (default: login name)")]


def pause(
    note: Annotated[str, typer.Option(help="Reason, shown while the workers are paused")],
    config: Config = DEFAULT_CONFIG,
    tier: OfTier = None,
    by: By = "",
) -> None:
    """Stop all workers from taking tickets, until resume: what they have is finished, the rest waits in its topic."""
    from streams.core.guards import AlertKind

    run(_publish(_settings(config), AlertKind.PAUSED, [tier], by, note))


def resume(
    config: Config = DEFAULT_CONFIG,
    tier: OfTier = None,
    by: By = "",
    note: Annotated[str, typer.Option(help="Note on what was done")] = "",
) -> None:
    """Let all workers take tickets again; without --tier every pause ends. Exit 1 if nothing was paused."""
    from streams.core.guards import AlertKind

    settings = _settings(config)
    pauses = run(_read(settings))
    scopes = [scope for scope in pauses.scopes if tier is None or scope == tier]
    if not scopes:
        everything = tier is not None and pauses.of(None) is not None
        print(f"not paused{': everything is, so resume without --tier' if everything else ''}")
        raise typer.Exit(1)
    run(_publish(settings, AlertKind.RESUMED, scopes, by, note))


def _settings(config: Config) -> Settings:
    from streams.settings import load_settings

    return load_settings(config)


async def _read(settings: Settings) -> Pauses:
    from schemas import Alert
    from streams.core.guards.pauses import Pauses
    from streams.kafka.readers import messages_there

    pauses = Pauses()
    async for alert in messages_there(Alert, settings.broker.connection, prefix=settings.topics.prefix):
        pauses.update(alert)
    return pauses


async def _publish(settings: Settings, kind: AlertKind, scopes: Sequence[Tier | None], by: str, note: str) -> None:
    from streams.core.guards.pauses import pause_alert
    from streams.kafka.send import publish

    who, at_ms = by or login_name(), now_ms()
    alerts = [pause_alert(kind, scope, who, note, at_ms) for scope in scopes]
    await publish(alerts, settings.broker.connection, prefix=settings.topics.prefix)
    for alert in alerts:
        print(alert.summary)
