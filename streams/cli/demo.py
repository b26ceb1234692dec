"""hedgerow demo: the whole pipeline, on this machine, with an account of every ticket."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from streams.cli.desk import require_desk
from streams.cli.login import login_name
from streams.cli.options import AsJson, Models
from streams.cli.runtime import run
from streams.errors import HedgerowError


def demo(
    tickets: Annotated[
        Path | None,
        typer.Option(help="JSONL, .csv or .tsv file of tickets {ticket_id, text, label?} (default: bundled tickets)"),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option(help="JSONL file of labelled tickets to train the sandbox models on (default: bundled ones)"),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="JSONL, .csv or .tsv file of labelled tickets to calibrate on (default: bundled, with bundled ones)"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows to read")] = None,
    policy: Annotated[Path | None, typer.Option(help="Policy file to run under instead of a calibrated policy")] = None,
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
    memory: Annotated[
        Path | None,
        typer.Option(help="File of labelled tickets to show the models examples from (default: those of --train)"),
    ] = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Show the models no examples")] = False,
    models: Models = "trained",
    desk: Annotated[
        bool,
        typer.Option(
            "--desk", help="Serve web pages to decide what waits, from the first doubt until Ctrl-C (extra 'desk')"
        ),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed for the sandbox models")] = 0,
    as_json: AsJson = False,
) -> None:
    """Train two models, calibrate a policy, run other tickets under it, and account for every one."""
    from streams.core.policy.policy import Policy
    from streams.demo.run import DemoOptions, run_demo, write_report
    from streams.demo.summary import DEFECTS, defects, summary, what_next
    from streams.errors import SettingsError
    from streams.memory.open_memory import require_memory
    from streams.observability.logs import configure_logging
    from streams.sandbox.tickets import CALIBRATION, DEMO, TRAIN
    from streams.settings import load_policy

    if calibration and policy:
        raise SettingsError("--policy is used as it is, --calibration fits one: name one of them")
    if memory and no_memory:
        raise SettingsError("--memory and --no-memory exclude each other")
    if memory:
        require_memory()
    if not (calibration or policy or train or tickets):
        calibration = CALIBRATION
    configure_logging(level="warning", libraries=logging.CRITICAL)
    options = DemoOptions(
        tickets=tickets or DEMO,
        train=train or TRAIN,
        calibration=calibration,
        limit=limit,
        policy=load_policy(policy) if policy else Policy(),
        workers=workers,
        broker=broker,
        faults=tuple(fault or ()),
        then_faults=tuple(then_fault or ()),
        models=models,
        memory=memory,
        no_memory=no_memory,
        seed=seed,
        desk=_reviewer() if desk else None,
    )
    console = Console(stderr=as_json)

    def show(figures: dict[str, Any]) -> None:
        if report:
            write_report(figures, report)
        if as_json:
            print(orjson.dumps(figures).decode(), flush=True)
            return
        for line in ("", *summary(figures)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        style = "red" if any(figures[name] for name in DEFECTS) else None
        console.print(defects(figures), style=style, highlight=False, soft_wrap=True)
        for line in ("", *what_next(figures)):
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    figures = run(run_demo(options, console, show))
    if any(figures[name] for name in DEFECTS):
        raise typer.Exit(1)


def _reviewer() -> str:
    """Return who decides at the demo's desk; raises SettingsError without the extra."""
    require_desk()
    try:
        return login_name()
    except HedgerowError:
        return "you"
