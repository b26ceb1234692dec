"""hedgerow produce: sends tickets from a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run


def produce(
    file: Annotated[Path, typer.Argument(help="JSONL rows {ticket_id, text, label?}; - for standard input.")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send every row to the tickets topic. What is no valid ticket ends in dead-letters, with its reason."""
    from streams import produce as producing
    from streams.line_files import file_lines
    from streams.settings import load_settings

    settings = load_settings(config)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("sending", total=None)
        sent = run(
            producing.produce(
                file_lines(file, "tickets"),
                settings.broker.connection,
                prefix=settings.topics.prefix,
                progress=lambda count: progress.advance(task, count),
            )
        )
    refused = [row.row + 1 for row in sent if row.partition is None]
    if as_json:
        print(orjson.dumps({"sent": len(sent) - len(refused), "refused_lines": refused}).decode())
    else:
        print(f"{len(sent) - len(refused)} tickets sent")
        for number in refused:
            print(f"line {number}: too large for the broker", file=sys.stderr)
    if refused:
        raise typer.Exit(1)
