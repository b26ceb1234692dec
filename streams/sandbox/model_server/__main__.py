"""Runs the sandbox's model server: ``python -m streams.sandbox.model_server --train FILE``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import orjson

from streams.errors import SandboxError, SettingsError
from streams.sandbox.model_kinds import MODEL_KINDS
from streams.sandbox.model_server.faults import FaultName
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.served import ServedModel
from streams.sandbox.model_server.server import ServerOptions, create_app, serving
from streams.sandbox.model_server.training import TrainingSet, read_training_set, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, serve until SIGTERM or SIGINT, and return the exit status; one JSON line says when calls are taken."""
    parsed = _parser().parse_args(arguments)
    try:
        options = ServerOptions(
            seed=parsed.seed,
            jitter=parsed.jitter,
            latency=Latency(parsed.latency_ms, parsed.tail_rate, parsed.tail_ms),
            api_key=_api_key(parsed.api_key_env),
        )
        rows = read_training_set(parsed.train)
        cheap = _language_model(parsed.models, rows, options)  # first: it says at once if it is not installed
        models = train(rows, seed=parsed.seed)
        app = create_app(models, options, faults=parsed.fault, cheap=cheap)
    except (SettingsError, SandboxError) as error:
        sys.stderr.write(f"{error}\n")
        return 2

    async def serve() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with serving(app, parsed.port, parsed.host) as url:
            sys.stdout.write(orjson.dumps({"url": url, "labels": models.labels}).decode() + "\n")
            sys.stdout.flush()
            await stopped.wait()

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())
    return 0


def _language_model(kind: str, rows: TrainingSet, options: ServerOptions) -> ServedModel | None:
    if kind == "trained":
        return None
    from streams.sandbox.language_model import LanguageModel

    return LanguageModel.load(kind, rows, seed=options.seed, jitter=options.jitter)


def _parser() -> argparse.ArgumentParser:
    latency = Latency()
    parser = argparse.ArgumentParser(
        prog="python -m streams.sandbox.model_server",
        description="An OpenAI-compatible server with a cheap and a big model, real ones and small.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--train", type=Path, required=True, metavar="FILE", help="JSON lines with text and label")
    parser.add_argument(
        "--models",
        choices=MODEL_KINDS,
        default="trained",
        help="the cheap model: a trained classifier, or a real language model (llm: Gemma 3 270M, smollm2; extra 'llm')",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 answers other machines too")
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--seed", type=int, default=0, help="random seed for training, jitter, latency and faults")
    parser.add_argument("--jitter", type=float, default=ServerOptions().jitter, help="noise of each logit, nats")
    parser.add_argument("--latency-ms", type=float, default=latency.base_ms, help="latency of every answer, ms")
    parser.add_argument("--tail-rate", type=float, default=latency.tail_rate, help="share of slow answers")
    parser.add_argument(
        "--tail-ms", type=float, default=latency.tail_ms, help="minimum extra time of a slow answer, ms"
    )
    parser.add_argument(
        "--api-key-env", metavar="NAME", help="environment variable with the key that callers must send"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="[MODEL:]NAME=RATE[@AMOUNT]",
        help=f"may be repeated; the names are {', '.join(FaultName)}",
    )
    return parser


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise SettingsError(f"the environment variable {variable} is empty: put the API key into it")
    return os.environ[variable]


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.Loop


if __name__ == "__main__":
    sys.exit(main())
