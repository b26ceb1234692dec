"""Puts the commands together; each one is a separate file."""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from streams.cli import (
    budget,
    calibrate,
    consume,
    contract,
    demo,
    desk,
    doctor,
    drift,
    evaluate,
    forget,
    init,
    letters,
    memory,
    pause,
    probe,
    produce,
    prompt,
    rerun,
    review,
    sandbox,
    score,
    topics,
    whatif,
    worker,
)
from streams.errors import HedgerowError

app = typer.Typer(
    name="hedgerow",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"hedgerow {version('hedgerow')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit")
    ] = False,
) -> None:
    """Routes support tickets by how sure the language model really was."""


app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("produce")(produce.produce)
app.command("consume")(consume.consume)
app.command("rerun")(rerun.rerun)
app.command("forget")(forget.forget)
app.command("budget")(budget.budget)
app.command("pause")(pause.pause)
app.command("resume")(pause.resume)
app.command("doctor")(doctor.doctor)
app.command("score")(score.score)
app.command("evaluate")(evaluate.evaluate)
app.command("calibrate")(calibrate.calibrate)
app.command("whatif")(whatif.whatif)
app.add_typer(contract.app, name="contract")
app.add_typer(desk.app, name="desk")
app.add_typer(letters.app, name="dead-letters")
app.add_typer(drift.app, name="drift")
app.add_typer(memory.app, name="memory")
app.add_typer(probe.app, name="probe")
app.add_typer(prompt.app, name="prompt")
app.add_typer(review.app, name="review")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(topics.app, name="topics")


def main() -> None:
    """Run the command line: 0 done, 1 done and not well, 2 refused with one line that says why; 130 after Ctrl-C."""
    # What it says about an unavailable broker is said in one line below; the worker lets it speak again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app()
    except HedgerowError as error:
        print(f"hedgerow: {error}", file=sys.stderr)
        sys.exit(2)
