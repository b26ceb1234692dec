"""hedgerow probe: asks every endpoint one short question on a schedule, so that a change of its model is noticed."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from streams.cli.message_lines import line_of, shown
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run, run_logged
from streams.cli.terminal import width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas import Probe
    from streams.models.probed_endpoint import ProbedEndpoint
    from streams.settings import Settings

app = typer.Typer(help="Probe model endpoints, so that a change is noticed.", no_args_is_help=True)

Endpoints = Annotated[
    Path | None,
    typer.Option("--endpoints", "-e", help="YAML file of endpoints to probe (default: those of the settings)"),
]


@app.command()
def once(
    config: Config = DEFAULT_CONFIG,
    endpoints: Endpoints = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Print the probes without sending them; with --endpoints no settings are needed"
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Probe every endpoint now and send the probes; exit 1 if one gave no logprobs.

    It is the probe of the present slot of the schedule: a second one in the same slot has the same id and counts once.
    """
    from streams.kafka.send import publish
    from streams.observability.logs import configure_logging
    from streams.prober.prober import probe_once
    from streams.settings import load_settings

    configure_logging(level="error", libraries=logging.CRITICAL)
    settings = None if dry_run and endpoints is not None else load_settings(config)
    probes = run(probe_once(_endpoints(settings, endpoints, config)))
    for probe in probes:  # before they are sent: they are paid for, and the broker may not answer
        _print(probe, as_json=as_json)
    if settings is not None and not dry_run:
        run(publish(probes, settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire))
    if any(probe.logprobs is None for probe in probes):
        raise typer.Exit(1)


@app.command("run")
def run_prober(
    config: Config = DEFAULT_CONFIG,
    endpoints: Endpoints = None,
    as_json: AsJson = False,
    log_level: Annotated[str, typer.Option(help="Lowest level to log: debug, info, warning or error")] = "info",
) -> None:
    """Probe on schedule until Ctrl-C. Of several probers one leads and the others stand by."""
    from streams.errors import SettingsError
    from streams.observability.logs import configure_logging
    from streams.settings import load_settings

    if log_level not in {"debug", "info", "warning", "error"}:
        raise SettingsError(f"--log-level {log_level}: debug, info, warning or error is expected")
    settings = load_settings(config)
    configure_logging(json=as_json, level=log_level, redact=settings.redact)
    run_logged(_run(settings, _endpoints(settings, endpoints, config), as_json=as_json))


async def _run(settings: Settings, endpoints: Sequence[ProbedEndpoint], *, as_json: bool) -> None:
    from streams.kafka.broker_watch import BrokerWatch
    from streams.observability.http import Answer, serve_metrics
    from streams.observability.metrics import MetricsObserver
    from streams.prober.metrics import ProbeMetrics
    from streams.prober.prober import Prober

    observer = MetricsObserver()
    metrics = ProbeMetrics(observer.registry)
    prober = Prober(settings, endpoints, metrics=metrics, told=lambda probe: _print(probe, as_json=as_json))
    broker = BrokerWatch(settings.broker.connection)
    observer.broker(lambda: broker.problem is not None)

    def ready() -> Answer:
        return Answer(prober.ready.is_set() and broker.problem is None, {"broker": broker.problem or "answers"}, {})

    # A prober that can go on no more ends its process, so a prober that answers is alive.
    pages = {"/health": lambda: Answer(True, {}, {}), "/ready": ready}
    async with serve_metrics(settings.metrics, observer, pages):
        task = asyncio.create_task(prober.run())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        joined = asyncio.create_task(prober.ready.wait())
        await asyncio.wait({task, joined}, return_when=asyncio.FIRST_COMPLETED)
        joined.cancel()
        async with broker.running():
            await asyncio.wait({task})
        if not task.cancelled():
            task.result()


def _endpoints(settings: Settings | None, file: Path | None, config: Path) -> Sequence[ProbedEndpoint]:
    from streams.errors import SettingsError
    from streams.models.probed_endpoint import load_endpoints

    if file is not None:
        return load_endpoints(file).endpoints
    if settings is None or settings.endpoints is None:
        raise SettingsError(
            f"{config}: no endpoints to probe: write endpoints: FILE, or give --endpoints FILE; hedgerow init writes one"
        )
    return settings.endpoints.endpoints


def _print(probe: Probe, *, as_json: bool) -> None:
    if as_json:
        print(probe.encode().decode(), flush=True)
        return
    print(shown(line_of(probe), width_of(Console())), flush=True)
