"""hedgerow consume: prints what is on a topic."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from streams.cli.message_lines import line_of_record
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run
from streams.cli.terminal import width_of

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord


def consume(
    topic: Annotated[
        str,
        typer.Argument(help="Topic to read, without its prefix: tickets, routed, reviews, dead-letters, alerts ..."),
    ],
    config: Config = DEFAULT_CONFIG,
    limit: Annotated[int | None, typer.Option("--max", min=1, help="Maximum number of messages to print")] = None,
    wait: Annotated[
        float | None, typer.Option(min=0, help="Number of seconds without a message after which to end")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--for", min=0, help="Number of seconds after which to end")] = None,
    latest: Annotated[bool, typer.Option(help="Print only messages that arrive from now on")] = False,
    unique: Annotated[
        bool, typer.Option(help="Print each id once, as a consumer sees it that removes duplicates")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the messages of a topic from the beginning, one readable line each.

    Times are in UTC. --json prints each message as it was sent.
    """
    until = math.inf if seconds is None else time.monotonic() + seconds
    run(_consume(topic, config, limit, wait, until, latest=latest, unique=unique, as_json=as_json))


async def _consume(
    topic: str,
    config: Config,
    limit: int | None,
    wait: float | None,
    until: float,
    *,
    latest: bool,
    unique: bool,
    as_json: bool,
) -> None:
    from streams.kafka.readers import reader
    from streams.settings import load_settings

    settings = load_settings(config)
    prefix, width = settings.topics.prefix, width_of(Console())
    seen: set[str] = set()
    printed = 0
    last = time.monotonic()
    async with reader([topic], settings.broker.connection, prefix=prefix, latest=latest) as consumer:
        while time.monotonic() < min(until, math.inf if wait is None else last + wait):
            batches = await consumer.getmany(timeout_ms=200)
            for record in (record for records in batches.values() for record in records):
                identity = _identity(record)
                if unique and identity in seen:
                    continue
                seen.add(identity)
                print(_json_line(record) if as_json else line_of_record(record, prefix, width), flush=True)
                last = time.monotonic()
                printed += 1
                if printed == limit:
                    return


def _identity(record: ConsumerRecord) -> str:
    """Return the message's own id, or its place if it has none."""
    try:
        row = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        row = None
    names = ("result_id", "review_id", "verdict_id", "letter_id", "probe_id", "alert_id")
    if isinstance(row, dict):
        for name in names:
            if isinstance(row.get(name), str):
                return f"{name} {row[name]}"
    return f"{record.partition}/{record.offset}"


def _json_line(record: ConsumerRecord) -> str:
    try:
        return orjson.dumps(orjson.loads(record.value or b"null")).decode()
    except orjson.JSONDecodeError:
        return orjson.dumps({"not_json": (record.value or b"").decode("utf-8", "replace")}).decode()
