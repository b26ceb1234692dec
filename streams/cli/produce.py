"""hedgerow produce: sends tickets from a file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.refused_rows import refused_json, show_refused
from streams.cli.runtime import run
from streams.cli.topics import create_all
from streams.cli.unknown_labels import warn_of_unknown
from streams.core.wording import counted

if TYPE_CHECKING:
    from streams.kafka.produce import Sent
    from streams.kafka.ticket_rows import Fault, Refusals
    from streams.settings import Settings


def produce(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSONL, .csv or .tsv file of tickets {ticket_id, text, label?}; - for JSONL on standard input"
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Send the valid rows even if others are refused")
    ] = False,
    create: Annotated[
        bool,
        typer.Option("--create-topics", help="Create the topics that are not there yet, as hedgerow topics create"),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check every row, then send them all to the tickets topic; exit 1 if any row is refused.

    The whole input is checked before the first row is sent. A row that is not a valid ticket is refused, and then
    nothing is sent without --skip-bad. A label that the settings do not have is named, and sent all the same: it is only
    measured against. The file may be UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    The first row of a .csv or .tsv file names its columns: ticket_id (or id) and text, label if there is one; others become
    metadata.
    """
    from streams.files import line_file
    from streams.kafka.ticket_rows import Refusals, good_rows
    from streams.kafka.ticket_tables import ticket_rows
    from streams.settings import load_settings

    settings = load_settings(config)
    sent = 0
    with line_file(file, "tickets") as lines:
        rows = ticket_rows(file, lines)
        refusals, labels = Refusals(), Counter[str]()
        good = sum(1 for _ in good_rows(rows, refusals, labels))
        held = good if refusals.count and not skip_bad else 0
        if good and not held:
            if create:
                created = create_all(settings)
                if created:
                    print(f"created {counted(len(created), 'topic')}", file=sys.stderr)
            sent, refusals = _send(rows, good, settings)
    unknown = Counter({label: count for label, count in labels.items() if label not in settings.labels})
    if as_json:
        print(orjson.dumps({"sent": sent, "unknown_labels": dict(unknown), **refused_json(refusals)}).decode())
    else:
        print(f"{counted(sent, 'ticket')} sent")
        warn_of_unknown(unknown, str(config))
        show_refused(refusals, held, "sent", "sends")
    if refusals.count:
        raise typer.Exit(1)


def _send(rows: Iterable[tuple[int, bytes | Fault]], good: int, settings: Settings) -> tuple[int, Refusals]:
    """Send the valid rows; return how many the broker has, and every row that was refused by this check or by the broker.

    They are checked again as they are read again: the file may have changed.
    """
    from streams.kafka.produce import produce_rows
    from streams.kafka.ticket_rows import TOO_LARGE, Fault, Refusals, good_rows

    refusals, sent = Refusals(), 0
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("sending", total=good)

        def done(some: Sequence[Sent]) -> None:
            nonlocal sent
            for row in some:
                if row.partition is None:
                    refusals.add(row.row, Fault(TOO_LARGE, "larger than the broker takes"))
                else:
                    sent += 1
            progress.advance(task, len(some))

        checked = good_rows(rows, refusals)
        run(produce_rows(checked, settings.broker.connection, prefix=settings.topics.prefix, done=done))
    refusals.lines.sort(key=lambda refused: refused.line)
    return sent, refusals
