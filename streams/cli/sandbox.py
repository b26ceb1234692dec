"""hedgerow sandbox: a broker or a model server on this machine, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.options import Models
from streams.cli.runtime import run

if TYPE_CHECKING:
    from streams.sandbox.brokers.broker import Broker
    from streams.sandbox.model_server.process import ModelServer

app = typer.Typer(help="Run a broker or a model server on this machine, until Ctrl-C.", no_args_is_help=True)

Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one")]

Train = Annotated[
    Path | None, typer.Option(help="JSONL file of labelled tickets to train the models on (default: bundled ones)")
]


@app.command()
def broker(port: Port = 9092) -> None:
    """Run the embedded broker: nothing to install, nothing kept."""
    from streams.sandbox.brokers.embedded import EmbeddedBroker

    run(_serve(EmbeddedBroker(port or None)))


@app.command()
def up(
    train: Train = None,
    broker_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, envvar="HEDGEROW_SANDBOX_BROKER_PORT", help="Port of the broker; 0 takes a free one"
        ),
    ] = 9092,
    model_port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, envvar="HEDGEROW_SANDBOX_MODEL_PORT", help="Port of the models; 0 takes a free one"
        ),
    ] = 8000,
) -> None:
    """Run the embedded broker and the model server together: what hedgerow init --provider sandbox expects.

    The broker keeps nothing: after a new start, create the topics again.
    """
    from streams.sandbox.brokers.embedded import EmbeddedBroker
    from streams.sandbox.model_server.process import ModelServer
    from streams.sandbox.tickets import TRAIN

    models = ModelServer(train or TRAIN, port=model_port or None)
    run(_serve(EmbeddedBroker(broker_port or None), models))


@app.command()
def kafka(
    port: Port = 9092,
    nodes: Annotated[int, typer.Option(help="Number of Kafka nodes: 1 or 3")] = 1,
    directory: Annotated[
        Path | None, typer.Option(help="Empty folder for data and logs, kept afterwards (default: a temporary one)")
    ] = None,
    check: Annotated[bool, typer.Option(help="Start, check that it answers, and stop")] = False,
) -> None:
    """Run Apache Kafka in KRaft mode (needs Java 17 and, the first time, Maven)."""
    from streams.sandbox.brokers.kafka import LocalKafka

    run(_serve(LocalKafka(nodes, directory=directory, port=port or None), once=check))


@app.command()
def model(
    train: Train = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 answers other machines too")] = "127.0.0.1",
    port: Port = 8000,
    fault: Annotated[list[str] | None, typer.Option(help="Fault of the server, as NAME=RATE; may be repeated")] = None,
    models: Models = "trained",
    seed: Annotated[int, typer.Option(help="Random seed for the models and faults")] = 0,
) -> None:
    """Run the OpenAI-compatible model server with a cheap and a big model."""
    from streams.sandbox.extras import require_extra
    from streams.sandbox.tickets import TRAIN

    require_extra()
    command = [sys.executable, "-m", "streams.sandbox.model_server", "--train", str(train or TRAIN)]
    command += ["--host", host, "--port", str(port), "--models", models, "--seed", str(seed)]
    for name in fault or ():
        command += ["--fault", name]
    # In our place: as a child it would outlive a SIGTERM to us.
    os.execv(sys.executable, command)  # noqa: S606


async def _serve(server: Broker, models: ModelServer | None = None, *, once: bool = False) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        if models is not None:
            # First: a broker that answers then says that everything is up.
            await stack.enter_async_context(models)
            print(f"models at {models.url}", flush=True)
        await stack.enter_async_context(server)
        print(f"{server.kind} broker at {server.bootstrap}", flush=True)
        if not once:
            await stop.wait()
    print("stopped", flush=True)
