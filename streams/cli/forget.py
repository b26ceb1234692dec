"""hedgerow forget: takes a ticket out of topics, review store, memory and caches, and says what remains until when."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli.login import login_name
from streams.cli.message_lines import time_of
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import now_ms, run
from streams.cli.tables import Column, show_table
from streams.cli.terminal import one_line
from streams.core.wording import counted
from streams.errors import SettingsError

if TYPE_CHECKING:
    from streams.kafka.connection import Connection
    from streams.kafka.keeping import Keeping
    from streams.kafka.traces import TopicTraces, Traces
    from streams.reviews.store import ReviewStore
    from streams.settings import Settings


_TOPIC = "topic "
_NOT_TOLD = (
    "this broker does not say when it deletes records, and they stay on the topics "
    "(the embedded broker keeps all in memory until it ends)"
)


@dataclass(slots=True)
class Place:
    """One place that had something of the ticket, and what is left there until when."""

    place: str
    found: int
    """Records, rows, vectors or lines."""
    left: int = 0
    until_ms: int | None = None
    """By when the last of what is left is gone, Unix time in milliseconds; None if that is not known."""
    note: str = ""

    @property
    def is_open(self) -> bool:
        """Whether something is left, and nothing says that it goes."""
        return self.left > 0 and self.until_ms is None


@dataclass(slots=True)
class Report:
    """What became of a ticket."""

    ticket_id: str
    dry_run: bool
    places: list[Place] = field(default_factory=list)
    on_its_way: list[str] = field(default_factory=list)
    """The agents that have not handled all of the ticket's messages: they may write more of it."""
    broker_tells: bool = True
    """Whether the broker says how it keeps topics; one that does not keeps what is left for as long as it likes."""

    @property
    def is_done(self) -> bool:
        """Whether all that is left goes by itself, by a time that is known."""
        return not self.on_its_way and not any(place.is_open for place in self.places)

    @property
    def gone_by_ms(self) -> int | None:
        """By when the last of it is gone, Unix time in milliseconds; None if that is not known, or nothing is left."""
        times = [place.until_ms for place in self.places if place.left]
        return None if None in times else max((each for each in times if each is not None), default=None)


def forget(
    ticket_id: Annotated[str, typer.Argument(help="Id of the ticket")],
    config: Config = DEFAULT_CONFIG,
    by: Annotated[str | None, typer.Option(help="Name of the person who does this (default: login name)")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say where the ticket is, and until when")] = False,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="JSONL, .csv or .tsv file in which to look for the ticket; may be repeated"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Forget a ticket on the topics, in the review store, the memory and this machine's caches, and say what is left.

    The command can be run again after whatever ended it. Exit 1 if something is left that does not go by itself, or if
    the ticket is still on its way through the agents: run it again then.
    """
    from streams.settings import load_settings

    settings, who = load_settings(config), by or login_name()
    report = Report(ticket_id, dry_run)
    with closing(_store_of(settings)) as store:
        texts = run(forget_on_topics(report, settings, who)) | store.texts_of(ticket_id)
        # Before the store forgets the texts: run again, the command may find them nowhere else.
        _on_this_machine(report, settings, texts, files or ())
        _in_the_store(report, store, who)
    if as_json:
        print(orjson.dumps(asdict(report) | {"gone_by_ms": report.gone_by_ms, "done": report.is_done}).decode())
    else:
        _show(report)
    if not report.is_done:
        raise typer.Exit(1)


async def forget_on_topics(report: Report, settings: Settings, by: str) -> set[str]:
    """Make the compacted topics forget the ticket; return the texts that it had. Raises StopWorker if the broker refuses."""
    from streams.kafka.diagnosis import plain_refusals

    with plain_refusals(settings.broker.security):
        return await _on_topics(report, settings, by)


async def _on_topics(report: Report, settings: Settings, by: str) -> set[str]:
    from streams.kafka.keeping import keeping
    from streams.kafka.traces import OF_TICKETS, find_traces, forget_keys

    connection, prefix, now = settings.broker.connection, settings.topics.prefix, now_ms()
    traces = await find_traces(report.ticket_id, connection, prefix=prefix)
    report.on_its_way = [agent async for agent in _unfinished(traces, connection, prefix)]
    keeps = await keeping(connection, [prefix + topic for topic in traces.topics])
    report.broker_tells = all(keep.is_told for keep in keeps.values())
    for topic, found in sorted(traces.topics.items(), key=lambda each: OF_TICKETS.index(each[0])):
        keep = keeps[prefix + topic]
        if keep.compacts and not report.dry_run:
            await forget_keys(topic, found.standing, by, connection, prefix=prefix)
        report.places.append(_left_on(topic, found, keep, now))
    return traces.texts


async def _unfinished(traces: Traces, connection: Connection, prefix: str) -> AsyncIterator[str]:
    """Yield the agents that have not handled all of the ticket's messages on the topic that they read."""
    from aiokafka import TopicPartition

    from streams.agents.registry import AGENTS, KEEPERS, USES
    from streams.kafka.progress import committed

    for agent in AGENTS + KEEPERS:
        topic = USES[agent].reads
        ends = {} if (found := traces.topics.get(topic)) is None else found.ends
        if not ends:
            continue
        places = {TopicPartition(prefix + topic, partition): offset for partition, offset in ends.items()}
        done = await committed(prefix + agent, places, connection)
        if agent in KEEPERS and not any(done.values()):
            continue  # nobody runs it
        if any((done[place] or 0) <= offset for place, offset in places.items()):
            yield agent


def _left_on(topic: str, found: TopicTraces, keep: Keeping, now: int) -> Place:
    """Return what is left on a topic once nothing stands on it any more."""
    times = [each for each in (keep.aged_out_by(found.latest_ms), keep.compacted_by(now)) if each is not None]
    until = min(times, default=None)
    if until is not None:
        note = (
            "until they are compacted" if keep.compacts else f"for {_days(keep.retention_ms)}, by the topic's retention"
        )
    elif not keep.is_told:
        note = "for as long as the broker keeps them, which it does not say"
    elif keep.compacts:
        note = "until the broker compacts them: no max.compaction.lag.ms says when; run: hedgerow topics create --alter"
    else:
        note = "for ever: the topic sets no retention.ms"
    return Place(f"{_TOPIC}{topic}", found.records, found.records, until, note)


def _days(milliseconds: int | None) -> str:
    hours = (milliseconds or 0) / 3_600_000
    return counted(round(hours / 24), "day") if hours >= 48 else f"{hours:g} hours"


def _store_of(settings: Settings) -> ReviewStore:
    """Return the review store; raises SettingsError if it is not there, since another one then may have the ticket."""
    from streams.reviews.store import ReviewStore

    store = ReviewStore(settings.review.url)
    if not store.is_there:
        raise SettingsError(
            f"{store.database.name} is not there: run the command where the agent review or the desk runs"
        )
    return store


def _in_the_store(report: Report, store: ReviewStore, by: str) -> None:
    """Make the review store forget the ticket."""
    from streams.reviews.forgetting import forget_ticket

    rows = forget_ticket(store.database, report.ticket_id, by, now_ms(), dry_run=report.dry_run)
    if any(rows.values()):
        named = ", ".join(f"{table} {count}" for table, count in rows.items() if count)
        later = "" if store.database.is_sqlite else "; PostgreSQL frees them at its next VACUUM"
        report.places.append(Place("review store", sum(rows.values()), note=f"{named}{later}"))


def _on_this_machine(report: Report, settings: Settings, texts: Collection[str], files: Sequence[Path]) -> None:
    """Forget the embeddings of the ticket's texts that are kept here, and look for the ticket in files."""
    from streams.core.signal.redaction import redact
    from streams.memory.embedding_cache import forget_vectors
    from streams.sandbox.cache import cache_root

    embedded = {text for each in texts for text in (each, redact(each, settings.redact))}
    if vectors := forget_vectors(embedded, cache_root(), dry_run=report.dry_run):
        report.places.append(Place("embeddings on this machine", vectors))
    memory = None if settings.memory is None else settings.memory.file
    for path in dict.fromkeys([*([] if memory is None else [Path(memory)]), *files]):
        if lines := list(_lines_about(path, report.ticket_id)):
            note = f"delete line {', '.join(map(str, lines))} yourself"
            report.places.append(Place(f"file {path}", len(lines), len(lines), note=note))


def _lines_about(path: Path, ticket_id: str) -> Iterator[int]:
    """Yield the numbers of a file's lines that name the ticket."""
    from streams.files import line_file
    from streams.kafka.ticket_tables import ticket_rows
    from streams.kafka.traces import ticket_named

    with line_file(path, "forget") as lines:
        for number, line in ticket_rows(path, lines, required=()):
            if isinstance(line, bytes) and ticket_named(line) == ticket_id:
                yield number


def _show(report: Report) -> None:
    rows = [
        (place.place, str(place.found), str(place.left), time_of(place.until_ms) if place.left else "", place.note)
        for place in report.places
    ]
    columns = (
        Column("where"),
        Column("found", right=True),
        Column("left", right=True),
        Column("until", right=False),
        Column("note", "wrap"),
    )
    show_table(columns, rows, title=one_line(f"ticket {report.ticket_id}"))
    print(one_line(_said(report)))


def _said(report: Report) -> str:
    """Return the report in one sentence."""
    if not report.places:
        return f"{report.ticket_id!r} is nowhere"
    if report.on_its_way:
        agents = ", ".join(report.on_its_way)
        return f"still on its way: {agents} may write more of it; run the command again once they have caught up"
    verb = "would be" if report.dry_run else "is"
    if not report.broker_tells and all(place.place.startswith(_TOPIC) for place in report.places if place.is_open):
        return f"it {verb} forgotten, but {_NOT_TOLD}"
    if not report.is_done:
        return "something is left that does not go by itself: see the notes"
    if report.gone_by_ms is None:
        return f"it {verb} forgotten, and nothing is left"
    return f"it {verb} forgotten; the last of it is gone by {time_of(report.gone_by_ms)}"
