"""Puts the commands together; each one is a file of its own."""

from __future__ import annotations

import sys

import typer

from streams.cli import consume, demo, doctor, produce, review, sandbox, topics, worker
from streams.errors import HedgerowError

app = typer.Typer(
    name="hedgerow",
    help="Routes support tickets by how sure the language model really was.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("demo")(demo.demo)
app.command("worker")(worker.worker)
app.command("produce")(produce.produce)
app.command("consume")(consume.consume)
app.command("doctor")(doctor.doctor)
app.add_typer(review.app, name="review")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(topics.app, name="topics")


def main() -> None:
    """Run the command line: 0 done, 1 done and not well, 2 refused with one line that says why."""
    try:
        app()
    except HedgerowError as error:
        print(f"hedgerow: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        sys.stderr.close()
        sys.exit(0)
