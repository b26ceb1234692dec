"""hedgerow doctor: is everything there that a worker needs?"""

from __future__ import annotations

import orjson
import typer
from rich.console import Console

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run
from streams.cli.terminal import hanging


def doctor(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check settings, compressions, broker, topics, models and review store; each line says ok or what to do."""

    if not run(_doctor(config, as_json=as_json)):
        raise typer.Exit(1)


async def _doctor(config: Config, *, as_json: bool) -> bool:
    from streams.worker.doctor import examine

    well, console = True, Console()
    async for finding in examine(config):
        well = well and finding.ok
        if as_json:
            print(orjson.dumps({"name": finding.name, "ok": finding.ok, "text": finding.text}).decode())
        else:
            head = f"{'ok  ' if finding.ok else 'FAIL'} {finding.name:<14} "
            print(hanging(head, finding.text, console), flush=True)
    return well
