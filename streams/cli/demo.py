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
        Path | None, typer.Option(help="JSONL rows {ticket_id, text, label?}; bundled tickets without it.")
    ] = None,
    train: Annotated[Path | None, typer.Option(help="Labelled JSONL rows that the sandbox models learn from.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows.")] = None,
    policy: Annotated[Path | None, typer.Option(help="A policy file.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=16, help="Worker processes.")] = 1,
    broker: Annotated[str, typer.Option(help="embedded, kafka or HOST:PORT.")] = "embedded",
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault of the model server, NAME=RATE; may be repeated.")
    ] = None,
    then_fault: Annotated[
        list[str] | None, typer.Option(help="A fault from when half of the tickets are settled; may be repeated.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
    models: Models = "trained",
    seed: Annotated[int, typer.Option(help="Of everything random in the sandbox.")] = 0,
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
