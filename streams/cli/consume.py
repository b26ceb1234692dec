"""hedgerow consume: prints what is on a topic."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from schemas import Rank, Review, Routed, Verdict
from schemas import rank as rank_of
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
        bool, typer.Option(help="Print one message of each id, the one that counts, and end at the topic's end")
    ] = False,
    follow: Annotated[
        bool, typer.Option(help="With --unique: go on after the end, and print an id again once another message counts")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the messages of a topic from the beginning, one readable line each, and wait for more until Ctrl-C.

    Reasons for which a terminal is too narrow go on in the next line. --max, --wait, --for and --unique end it earlier.
    Times are in UTC. --json prints each message as it was sent.
    """
    if follow and not unique:
        raise typer.BadParameter("--follow goes with --unique; without it consume follows a topic anyway")
    bounds = _Bounds(limit, wait, seconds)
    run(_consume(topic, config, bounds, latest=latest, unique=unique, follow=follow or latest, as_json=as_json))


@dataclass
class _Bounds:
    """When to end: after ``limit`` printed lines, ``for_s``, or ``wait_s`` without a line once all that was there is read."""

    limit: int | None
    wait_s: float | None
    for_s: float | None
    _printed: int = 0
    _began: float = field(default_factory=time.monotonic)
    _last: float = math.inf

    def begin(self) -> None:
        """Count the time from here on: the topic is open."""
        self._began = time.monotonic()

    def wait(self) -> None:
        """Count the time without a line from here on."""
        self._last = time.monotonic()

    def print(self, text: str) -> None:
        """Print a line, unless there were enough."""
        if self._printed != self.limit:
            print(text, flush=True)
            self._printed += 1
            if self._last < math.inf:
                self.wait()

    @property
    def reached(self) -> bool:
        """Whether to end now."""
        quiet = math.inf if self.wait_s is None else self._last + self.wait_s
        over = math.inf if self.for_s is None else self._began + self.for_s
        return self._printed == self.limit or time.monotonic() >= min(over, quiet)


@dataclass(frozen=True, slots=True)
class _Winner:
    """The message that counts for an id: its rank if it has one, its bytes, and its line."""

    rank: Rank | None
    value: bytes | None
    line: str


class _Winners:
    """The message that counts for each id: the one of the highest rank, of equals the last; without ranks the first."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._by_id: dict[str, _Winner] = {}

    def take(self, record: ConsumerRecord, line: str) -> bool:
        """Return whether this message counts from now on, and says something else than the one before."""
        identity, rank = _identity(record, self._prefix), _rank(record, self._prefix)
        before = self._by_id.get(identity)
        if record.value is None and record.topic == f"{self._prefix}routed":
            return self._by_id.pop(identity, None) is not None
        if before is not None and (rank is None or before.rank is None or rank < before.rank):
            return False
        self._by_id.pop(identity, None)  # so that they stand in the order in which they came
        self._by_id[identity] = _Winner(rank, record.value, line)
        return before is None or before.value != record.value

    def lines(self) -> list[str]:
        """Return the line of each."""
        return [winner.line for winner in self._by_id.values()]


async def _consume(
    topic: str, config: Config, bounds: _Bounds, *, latest: bool, unique: bool, follow: bool, as_json: bool
) -> None:
    from streams.kafka.readers import reader, to_the_end
    from streams.settings import load_settings

    settings = load_settings(config)
    prefix, width = settings.topics.prefix, width_of(Console())
    winners = _Winners(prefix)

    def line(record: ConsumerRecord) -> str:
        return _json_line(record) if as_json else line_of_record(record, prefix, width)

    async with reader([topic], settings.broker.connection, prefix=prefix, latest=latest) as consumer:
        bounds.begin()
        if not latest:
            async for record in to_the_end(consumer):
                text = line(record)
                if unique:
                    winners.take(record, text)
                elif not bounds.reached:
                    bounds.print(text)
                else:
                    break
            for text in winners.lines():
                bounds.print(text)
        bounds.wait()
        while (follow or not unique) and not bounds.reached:
            batches = await consumer.getmany(timeout_ms=200)
            for record in (record for records in batches.values() for record in records):
                text = line(record)
                if not unique or winners.take(record, text):
                    bounds.print(text)


def _rank(record: ConsumerRecord, prefix: str) -> Rank | None:
    """Return the rank among the messages of one id; None for messages of which the first one counts."""
    from streams.kafka.readers import decode

    if _is_of_memory(record, prefix):
        return Rank(record.offset, 0)  # the latest one counts
    message = decode(record, prefix)
    return rank_of(message) if isinstance(message, Routed | Review | Verdict) else None


def _is_of_memory(record: ConsumerRecord, prefix: str) -> bool:
    return bool(record.topic == prefix + "memory" and record.key is not None)


def _identity(record: ConsumerRecord, prefix: str) -> str:
    """Return the message's own id, or its place if it has none."""
    if _is_of_memory(record, prefix):
        return f"example_id {record.key!r}"  # one without a value has nothing else
    if record.value is None and record.key and record.topic == f"{prefix}routed":
        return f"result_id {Routed.id_for(record.key.decode('utf-8', 'replace'))}"
    try:
        row = orjson.loads(record.value or b"null")
    except orjson.JSONDecodeError:
        row = None
    names = ("result_id", "verdict_id", "review_id", "letter_id", "probe_id", "alert_id")
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
