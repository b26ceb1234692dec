"""hedgerow demo: the whole pipeline, on this machine, with an account of every ticket."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from streams.cli.options import AsJson, Models
from streams.cli.runtime import run
from streams.cli.tables import Column, show_table


def demo(
    tickets: Annotated[
        Path | None, typer.Option(help="JSONL file of tickets {ticket_id, text, label?} (default: bundled tickets)")
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="JSONL file of labelled tickets to train the sandbox models on (default: bundled ones)"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows to read")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file (default: the default policy)")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Number of worker processes")] = 1,
    broker: Annotated[str, typer.Option(help="Broker to use: embedded, kafka or HOST:PORT")] = "embedded",
    fault: Annotated[
        list[str] | None, typer.Option(help="Fault of the model server from the start, as NAME=RATE; may be repeated")
    ] = None,
    then_fault: Annotated[
        list[str] | None,
        typer.Option(help="Fault once half of the tickets have their outcome, as NAME=RATE; may be repeated"),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="JSON file to write the figures to")] = None,
    models: Models = "trained",
    seed: Annotated[int, typer.Option(help="Random seed for the sandbox models")] = 0,
    as_json: AsJson = False,
) -> None:
    """Watch tickets flow through the pipeline; ends when every one has its outcome."""
    from streams.core.policy.policy import Policy
    from streams.demo.run import DemoOptions, run_demo, write_report
    from streams.observability.logs import configure_logging
    from streams.sandbox.tickets import DEMO, TRAIN
    from streams.settings import load_policy

    configure_logging(level="warning", libraries=logging.CRITICAL)
    options = DemoOptions(
        tickets=tickets or DEMO,
        train=train or TRAIN,
        limit=limit,
        policy=load_policy(policy) if policy else Policy(),
        workers=workers,
        broker=broker,
        faults=tuple(fault or ()),
        then_faults=tuple(then_fault or ()),
        models=models,
        seed=seed,
    )
    console = Console(stderr=as_json)
    figures = run(run_demo(options, console))
    if report:
        write_report(figures, report)
    if as_json:
        print(orjson.dumps(figures).decode())
    else:
        _show(figures, console)
    if figures["lost"] or figures["duplicates"] or figures["unscored_accepts"]:
        raise typer.Exit(1)


def _show(figures: dict[str, Any], console: Console) -> None:
    rows, styles = [], []
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items()) or "none"
        elif isinstance(value, float):
            value = f"{value:.4f}" if "usd" in name else f"{value:.3f}"
        rows.append((name, str(value)))
        styles.append("red" if name in {"lost", "duplicates", "unscored_accepts"} and value else "")
    columns = (Column(""), Column("", "wrap"))
    show_table(columns, rows, title="what became of the tickets", styles=styles, console=console)
