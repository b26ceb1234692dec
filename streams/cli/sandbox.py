"""hedgerow sandbox: a broker or a model server on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import Models
from streams.cli.runtime import run

if TYPE_CHECKING:
    from streams.sandbox.brokers.broker import Broker

app = typer.Typer(help="A broker or a model server on this machine, until Ctrl-C.", no_args_is_help=True)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes a free one.")]


@app.command()
def broker(port: Port = 9092) -> None:
    """Run the embedded broker: nothing to install, nothing kept."""
    from streams.sandbox.brokers.embedded import EmbeddedBroker

    run(_serve(EmbeddedBroker(port or None)))


@app.command()
def kafka(
    port: Port = 9092,
    nodes: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    directory: Annotated[Path | None, typer.Option(help="An empty folder for data and logs, kept afterwards.")] = None,
    check: Annotated[bool, typer.Option(help="Start, check that it answers, stop, and say so.")] = False,
) -> None:
    """Run Apache Kafka in KRaft mode (needs Java 17 and, the first time, Maven)."""
    from streams.sandbox.brokers.kafka import LocalKafka

    run(_serve(LocalKafka(nodes, directory=directory, port=port or None), once=check))


@app.command()
def model(
    train: Annotated[
        Path | None, typer.Option(help="Labelled JSONL rows to learn from; bundled tickets without it.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 answers other machines too.")] = "127.0.0.1",
    port: Port = 8000,
    fault: Annotated[list[str] | None, typer.Option(help="NAME=RATE; may be repeated.")] = None,
    models: Models = "trained",
    seed: Annotated[int, typer.Option(help="Of everything random in it.")] = 0,
) -> None:
    """Run the OpenAI-compatible model server with a cheap and a big model."""
    from streams.sandbox.extra import require_extra
    from streams.sandbox.tickets import TRAIN

    require_extra()
    command = [sys.executable, "-m", "streams.sandbox.model_server", "--train", str(train or TRAIN)]
    command += ["--host", host, "--port", str(port), "--models", models, "--seed", str(seed)]
    for name in fault or ():
        command += ["--fault", name]
    # In our place: as a child it would outlive a SIGTERM to us.
    os.execv(sys.executable, command)  # noqa: S606


async def _serve(server: Broker, *, once: bool = False) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        print(f"{server.kind} broker at {server.bootstrap}", flush=True)
        if not once:
            await stop.wait()
    print("stopped", flush=True)
