"""hedgerow doctor: is everything there that a worker needs?"""

from __future__ import annotations

import logging

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run


def doctor(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check settings, compressions, broker, topics, models and review store; each line says ok or what to do."""
    from streams.observability.logs import configure_logging

    configure_logging(level="error", libraries=logging.CRITICAL)
    if not run(_doctor(config, as_json=as_json)):
        raise typer.Exit(1)


async def _doctor(config: Config, *, as_json: bool) -> bool:
    from streams.worker.doctor import examine

    well = True
    async for finding in examine(config):
        well = well and finding.ok
        if as_json:
            print(orjson.dumps({"name": finding.name, "ok": finding.ok, "text": finding.text}).decode())
        else:
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name:<13} {finding.text}", flush=True)
    return well
