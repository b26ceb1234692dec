"""hedgerow drift: what probes show, and an end to an alert that somebody has seen to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli.login import login_name
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import now_ms, run
from streams.cli.tables import Column, show_table
from streams.core.wording import counted

if TYPE_CHECKING:
    from streams.core.drift.report import DriftReport
    from streams.settings import Settings

app = typer.Typer(help="Judge probes: replay, test, plot, report; acknowledge an alert.", no_args_is_help=True)

Rows = Annotated[
    Path, typer.Argument(help='JSONL file of probes: {"endpoint", "at", "logprobs": {token: logprob}|null, "error"}')
]
Detector = Annotated[str, typer.Option(help="Name of the detector: lt, lt-ref or river-page-hinkley")]


@app.command()
def replay(file: Rows, detector: Detector = "lt-ref", as_json: AsJson = False) -> None:
    """Run stored probes through a detector; prints one JSON line per alarm, and without --json what was read."""
    from streams.core.drift import Replay
    from streams.prober.probe_files import read_rows

    replayed, alarms = Replay(detector), 0
    for row in read_rows(file):
        for alarm in replayed.feed(row):
            print(orjson.dumps(alarm).decode(), flush=True)
            alarms += 1
    if as_json:
        return
    rows = replayed.rows
    read = f"{counted(rows.total(), 'probe')} of {counted(len(rows), 'endpoint')}"
    print(f"{counted(alarms, 'alarm')} in {read}", file=sys.stderr)
    for reason, count in replayed.unusable.most_common():
        print(f"{counted(count, 'probe is no sample', 'probes are no samples')}: {reason}", file=sys.stderr)
    if replayed.repeated:
        print(f"{counted(replayed.repeated, 'probe')} came again: not counted twice", file=sys.stderr)
    if replayed.unnamed:
        print(f"{counted(replayed.unnamed, 'line names', 'lines name')} no endpoint", file=sys.stderr)


@app.command("test")
def two_samples(
    first: Rows,
    second: Rows,
    permutations: Annotated[int, typer.Option(min=1, max=100_000, help="Number of permutations of the probes")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed for the permutations")] = 0,
    as_json: AsJson = False,
) -> None:
    """Test whether two sets of probes come from the same model: the statistic and p = (1 + hits) / (N + 1).

    For samples that are independent. Hourly probes of one endpoint are not; that is what the detectors are for.
    """
    from streams.core.drift import two_sample_test
    from streams.errors import SettingsError
    from streams.prober.probe_files import read_rows

    if str(first) == str(second) == "-":
        raise SettingsError("drift test - -: standard input can be read only once; name a file for one of the two")
    result = two_sample_test(read_rows(first), read_rows(second), permutations, seed)
    if as_json:
        print(orjson.dumps(result).decode())
    else:
        print(
            f"statistic {result['statistic']:.6g} nats over {counted(result['tokens'], 'token')}, p = {result['p_value']:.4g} "
            f"({result['n_a']} and {result['n_b']} probes)"
        )


@app.command()
def plot(
    file: Rows,
    out: Annotated[Path, typer.Option(help="SVG or PNG file to write, by its suffix (needs the extra 'pictures')")],
    endpoint: Annotated[str | None, typer.Option(help="Name of the one endpoint to draw (default: all)")] = None,
    detector: Detector = "lt-ref",
    tokens: Annotated[int, typer.Option(min=1, max=8, help="Maximum number of tokens to draw")] = 8,
    alarm: Annotated[
        int | None,
        typer.Option(min=1, help="Number of the one alarm to draw, with the probes around it (default: all)"),
    ] = None,
) -> None:
    """Draw each endpoint over time: the detector's statistic beside its threshold, its likeliest tokens, the alarms."""
    from streams.core.drift.history import histories
    from streams.errors import SettingsError
    from streams.pictures.canvas import picture_format, require_pictures
    from streams.pictures.probe_pictures import draw_probes
    from streams.prober.probe_files import read_rows

    picture_format(out)
    require_pictures()
    found = histories(read_rows(file), detector, endpoint=endpoint, tokens=tokens)
    if not found:
        raise SettingsError(f"{file}: no probes" + ("" if endpoint is None else f" of {endpoint!r}"))
    draw_probes(found, detector, out, alarm)
    print(f"drawn to {out}")


@app.command()
def report(
    file: Annotated[Path | None, typer.Argument(help="JSONL file of probes (default: the topic probes)")] = None,
    config: Config = DEFAULT_CONFIG,
    endpoints: Annotated[
        Path | None,
        typer.Option(
            "--endpoints",
            "-e",
            help="YAML file of endpoints, which names their providers (default: that of the settings)",
        ),
    ] = None,
    detector: Detector = "lt-ref",
    as_json: AsJson = False,
) -> None:
    """Print a table by provider: endpoints, years tracked, changes, changes per year, cost per year of an endpoint."""
    from streams.core.drift.report import DriftReport
    from streams.models.probed_endpoint import load_endpoints
    from streams.prober.probe_files import read_rows
    from streams.settings import load_settings

    settings = load_settings(config) if file is None else None
    probed = load_endpoints(endpoints) if endpoints else settings.endpoints if settings else None
    made = DriftReport(detector, {each.name: each.served_by for each in probed.endpoints} if probed else {})
    if settings is None:
        assert file is not None
        for row in read_rows(file):
            made.feed(row)
    else:
        run(_feed(made, settings))
    table = made.table()
    if as_json:
        print(orjson.dumps([asdict(line) for line in table]).decode())
    else:
        _print([asdict(line) for line in table])


@app.command()
def acknowledge(
    endpoint: Annotated[str, typer.Argument(help="Name of the endpoint, as in its alerts")],
    config: Config = DEFAULT_CONFIG,
    by: Annotated[str, typer.Option(help="Name of the person who acknowledges (default: login name)")] = "",
    note: Annotated[str, typer.Option(help="Note on what was found")] = "",
) -> None:
    """Acknowledge an endpoint's alerts: from now on the policy counts as made for the model as it is now."""
    from streams.core.drift.acknowledgement import acknowledgement
    from streams.core.policy.reasons import DecisionReason
    from streams.errors import SettingsError
    from streams.kafka.send import publish
    from streams.observability.logs import configure_logging
    from streams.settings import load_settings

    configure_logging(level="error", libraries=logging.CRITICAL)
    settings = load_settings(config)
    known = [] if settings.endpoints is None else [each.name for each in settings.endpoints.endpoints]
    if endpoint not in known:
        raise SettingsError(f"{config}: no endpoint {endpoint!r} is probed: there are {', '.join(known) or 'none'}")
    at_ms, who = now_ms(), by or login_name()
    alert = acknowledgement(endpoint, settings.policy.id, who, note, at_ms)
    run(publish([alert], settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire))
    print(alert.summary)
    if waiting := _waiting_for_it(settings):
        reason = DecisionReason.POLICY_STALE
        reviews = counted(waiting, "review waits", "reviews wait")
        print(f"{reviews} for that reason: hedgerow rerun --from reviews --reason {reason}")


def _waiting_for_it(settings: Settings) -> int:
    """Return how many reviews wait because the policy was stale; 0 if the store cannot be read from here."""
    from streams.cli.rerun_sources import Wanted
    from streams.core.policy.reasons import DecisionReason
    from streams.errors import HedgerowError
    from streams.reviews.store import ReviewStore

    wanted = Wanted(reasons=(DecisionReason.POLICY_STALE,))
    try:
        store = ReviewStore(settings.review.url)
        return sum(
            wanted.fits(item.review.ticket_id, item.review.reasons, item.added_ms)
            for item in (store.each() if store.is_there else ())
            if item.is_open
        )
    except HedgerowError as error:
        print(f"how many reviews wait for that reason is unknown: {error}", file=sys.stderr)
        return 0


async def _feed(made: DriftReport, settings: Settings) -> None:
    """Feed what is on the probes topic now."""
    from schemas import Probe
    from streams.core.drift import ProbeRow
    from streams.kafka.readers import messages_there

    async for probe in messages_there(Probe, settings.broker.connection, prefix=settings.topics.prefix):
        made.feed(ProbeRow.of(probe))


def _print(lines: Iterable[dict[str, object]]) -> None:
    numbers = ("endpoints", "years", "probes", "changes", "changes per year", "USD per year")
    columns = [Column("provider"), *(Column(name, right=True) for name in numbers)]
    show_table(columns, ([_shown(value) for value in line.values()] for line in lines), title="changes by provider")


def _shown(value: object) -> str | None:
    return f"{value:.3g}" if isinstance(value, float) else None if value is None else str(value)
