"""hedgerow worker: runs agents until it is stopped."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from streams.cli.options import DEFAULT_CONFIG, Config
from streams.cli.runtime import run_logged
from streams.errors import SettingsError


def worker(
    config: Config = DEFAULT_CONFIG,
    agents: Annotated[
        str, typer.Option(help="Agents to run, comma-separated (default: all that the settings call for)")
    ] = "",
    log_json: Annotated[bool, typer.Option(help="Log one JSON object a line")] = False,
    log_level: Annotated[str, typer.Option(help="Lowest level to log: debug, info, warning or error")] = "info",
) -> None:
    """Run agents; start as many workers as you like, each takes its share of the partitions."""
    from streams.agents.registry import USES, AgentName
    from streams.observability.logs import configure_logging
    from streams.settings import load_settings
    from streams.worker.process import run_worker

    if log_level not in {"debug", "info", "warning", "error"}:
        raise SettingsError(f"--log-level {log_level}: debug, info, warning or error is expected")
    names = [name.strip() for name in agents.split(",") if name.strip()]
    for name in names:
        if name not in USES:
            raise SettingsError(f"no agent {name!r}: there are {', '.join(USES)}")
    settings = load_settings(config)
    configure_logging(json=log_json, level=log_level, redact=settings.redact)
    run_logged(run_worker(settings, cast("list[AgentName]", names) or settings.default_agents))
