"""hedgerow dead-letters: what could not be handled, and what becomes of it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from streams.cli.byte_lines import as_text, byte_lines
from streams.cli.login import login_name
from streams.cli.message_lines import time_of
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import now_ms, run
from streams.cli.since import since_ms
from streams.cli.tables import Column, show_table
from streams.cli.terminal import plain
from streams.core.wording import counted

if TYPE_CHECKING:
    from schemas import DeadLetter
    from streams.kafka.letter_book import Entry, LetterBook
    from streams.kafka.redrive import LetterDesk
    from streams.settings import Settings

app = typer.Typer(help="List and show dead letters, send their messages again, or discard them.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which letters an operator means: some by name, or the open ones that fit."""

    letters: list[str] | None
    reasons: list[str] | None
    topics: list[str] | None
    since: str | None
    everything: bool = False
    closed: bool = False

    def of(self, book: LetterBook, prefix: str) -> list[Entry]:
        """Return the letters; raises SettingsError for one that is not there or is closed, and without any choice."""
        from streams.errors import SettingsError

        filters = bool(self.reasons or self.topics or self.since)
        if self.letters:
            if filters or self.everything:
                raise SettingsError("give letters by name, or choose them with options, not both")
            return [_open(_named(book, name, prefix), prefix) for name in dict.fromkeys(self.letters)]
        if not filters and not self.everything:
            raise SettingsError("which letters: name them, or give --reason, --topic or --since; --all takes every one")
        return self.fitting(book, prefix)

    def fitting(self, book: LetterBook, prefix: str) -> list[Entry]:
        """Return the letters that the filters keep; raises SettingsError for a topic that Hedgerow does not have."""
        from schemas import TOPICS
        from streams.errors import SettingsError
        from streams.files import suggestion

        for topic in self.topics or ():
            if topic not in TOPICS:
                raise SettingsError(f"no topic {topic!r}: there are {', '.join(TOPICS)}{suggestion(topic, TOPICS)}")
        return book.choose(
            reasons=self.reasons or (),
            topics=[prefix + topic for topic in self.topics or ()],
            since_ms=since_ms(self.since),
            closed=self.closed,
        )


Letters = Annotated[
    list[str] | None, typer.Argument(help="Letters by topic/partition/offset or id, as list shows them")
]
Reasons = Annotated[list[str] | None, typer.Option("--reason", help="Only letters with this reason; may be repeated")]
Topics = Annotated[
    list[str] | None, typer.Option("--topic", help="Only letters from this topic, without its prefix; may be repeated")
]
Since = Annotated[
    str | None,
    typer.Option(help="Only letters from then on: 30m, 2h or 7d ago, or a time such as 2026-11-27T08:00 (UTC)"),
]
Everything = Annotated[bool, typer.Option("--all", help="Every open letter")]
By = Annotated[str | None, typer.Option(help="Name of the person who does this (default: login name)")]
Note = Annotated[str, typer.Option(help="Note on why, kept with the letter")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say which letters would be taken")]


@app.command("list")
def list_letters(
    config: Config = DEFAULT_CONFIG,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    closed: Annotated[bool, typer.Option("--closed", help="Also those that were redriven or discarded")] = False,
    limit: Annotated[int, typer.Option("--max", min=1, help="Maximum number of rows")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the open dead letters, the oldest first."""
    from streams.kafka.letter_book import read_letters

    settings = _load(config)
    prefix = settings.topics.prefix
    book = run(read_letters(settings.broker.connection, prefix=prefix))
    found = _Choice(None, reason, topic, since, closed=closed).fitting(book, prefix)
    shown = found[:limit]
    if as_json:
        for entry in shown:
            print(orjson.dumps(_row(entry, prefix)).decode())
        return
    columns = [Column("letter"), Column("when"), Column("reason"), Column("message", "cut")]
    rows = [
        [
            _name(entry, prefix),
            time_of(entry.letter.at_ms),
            entry.letter.reason,
            entry.letter.original.decode("utf-8", "replace"),
        ]
        for entry in shown
    ]
    if closed:
        columns.insert(3, Column("state"))
        for row, entry in zip(rows, shown, strict=True):
            row.insert(3, entry.state)
    more = f", the first {limit} of them" if len(found) > limit else ""
    show_table(columns, rows, title=f"{counted(len(found), 'dead letter')}{more}")


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="Letter by topic/partition/offset or id, as list shows it")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print one dead letter: why, what became of it, and the message as text, or as hex if it is none."""
    from streams.errors import SettingsError
    from streams.kafka.letter_book import letter_of, read_letters

    settings = _load(config)
    prefix = settings.topics.prefix
    entry = _named(run(read_letters(settings.broker.connection, prefix=prefix)), letter, prefix)
    whole = run(letter_of(entry, settings.broker.connection, prefix=prefix))
    if whole is None:
        raise SettingsError(f"the letter {letter!r} has left the topic meanwhile")
    if as_json:
        value = {"key": _in_json(whole.key), "value": None if whole.tombstone else _in_json(whole.original)}
        print(orjson.dumps(_row(entry, prefix) | value).decode())
        return
    console = Console(highlight=False)
    for line in [*_about(entry, prefix), *_parts(whole)]:
        console.print(plain(line), markup=False, soft_wrap=True)


@app.command()
def redrive(
    letters: Letters = None,
    config: Config = DEFAULT_CONFIG,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    everything: Everything = False,
    by: By = None,
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send the messages of open dead letters to their topics again, each once, and close the letters.

    The command can be run again after whatever ended it: no message is sent twice. Exit 1 if a letter cannot be redriven.
    """
    who, run_number = by or login_name(), now_ms()

    async def close(desk: LetterDesk, entry: Entry) -> None:
        await desk.redrive(entry, who, now_ms(), run=run_number, note=note)

    chosen = _Choice(letters, reason, topic, since, everything=everything)
    _close("redriven", close, chosen, _load(config), dry_run=dry_run, as_json=as_json, more={"run": run_number})


@app.command()
def discard(
    letters: Letters = None,
    config: Config = DEFAULT_CONFIG,
    reason: Reasons = None,
    topic: Topics = None,
    since: Since = None,
    everything: Everything = False,
    by: By = None,
    note: Note = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Close open dead letters without sending their messages again."""
    who = by or login_name()

    async def close(desk: LetterDesk, entry: Entry) -> None:
        await desk.discard(entry, who, now_ms(), note=note)

    chosen = _Choice(letters, reason, topic, since, everything=everything)
    _close("discarded", close, chosen, _load(config), dry_run=dry_run, as_json=as_json, more={})


def _close(
    done: str,
    close: Callable[[LetterDesk, Entry], Awaitable[None]],
    choice: _Choice,
    settings: Settings,
    *,
    dry_run: bool,
    as_json: bool,
    more: dict[str, int],
) -> None:
    """Close the chosen letters, print what was ``done`` to how many, and exit with 1 if one was refused."""
    from streams.kafka.letter_book import read_letters

    prefix = settings.topics.prefix
    closed: list[Entry]
    refused: list[dict[str, str]] = []
    if dry_run:
        closed = choice.of(run(read_letters(settings.broker.connection, prefix=prefix)), prefix)
    else:
        closed, refused = run(_close_all(close, choice, settings))
    names = [_name(entry, prefix) for entry in closed]
    if as_json:
        counts = {done: 0 if dry_run else len(closed), "letters": names, "refused": refused}
        print(orjson.dumps(counts | more).decode())
    else:
        for name in names if dry_run else ():
            print(name)
        print(f"{counted(len(closed), 'letter')} {'would be ' if dry_run else ''}{done}")
        for each in refused:
            print(plain(f"{each['letter']} is not {done}: {each['detail']}"), file=sys.stderr)
    if refused:
        raise typer.Exit(1)


async def _close_all(
    close: Callable[[LetterDesk, Entry], Awaitable[None]], choice: _Choice, settings: Settings
) -> tuple[list[Entry], list[dict[str, str]]]:
    """Return the letters that were closed, and those that could not be, with the reason."""
    from streams.errors import GiveUp
    from streams.kafka.redrive import letter_desk

    prefix, transactions = settings.topics.prefix, settings.delivery == "exactly_once"
    closed: list[Entry] = []
    refused: list[dict[str, str]] = []
    async with letter_desk(settings.broker.connection, prefix=prefix, transactions=transactions) as desk:
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            for entry in progress.track(choice.of(desk.book, prefix), description="dead letters"):
                try:
                    await close(desk, entry)
                    closed.append(entry)
                except GiveUp as given_up:
                    refused.append({"letter": _name(entry, prefix), "reason": given_up.reason, "detail": str(given_up)})
    return closed, refused


def _load(config: Config) -> Settings:
    from streams.settings import load_settings

    return load_settings(config)


def _named(book: LetterBook, name: str, prefix: str) -> Entry:
    from streams.errors import SettingsError

    entry = book.get(name) or book.get(prefix + name)
    if entry is None:
        raise SettingsError(f"no dead letter {name!r}: hedgerow dead-letters list --closed shows what there is")
    return entry


def _open(entry: Entry, prefix: str) -> Entry:
    from streams.errors import SettingsError

    if not entry.is_open:
        raise SettingsError(f"{_name(entry, prefix)} is closed: {_closed(entry)}")
    return entry


def _closed(entry: Entry) -> str:
    closing = entry.closing
    if closing is None:
        return "open"
    run_number = "" if closing.run is None else f", run {closing.run}"
    note = f": {closing.note}" if closing.note else ""
    return f"{closing.state} by {closing.by} at {time_of(closing.at_ms)}{run_number}{note}"


def _name(entry: Entry, prefix: str) -> str:
    return entry.letter.origin.removeprefix(prefix)


def _row(entry: Entry, prefix: str) -> dict[str, Any]:
    letter = entry.letter
    return {
        "letter": _name(entry, prefix),
        "letter_id": letter.letter_id,
        "state": entry.state,
        "closing": None if entry.closing is None else entry.closing.model_dump(mode="json"),
        "ticket_id": None if entry.ticket is None else entry.ticket[0],
        "reason": letter.reason,
        "agent": letter.agent,
        "attempts": letter.attempts,
        "at_ms": letter.at_ms,
        "error_class": letter.error_class,
        "detail": letter.detail,
        "size": letter.original_size,
    }


def _in_json(data: bytes | None) -> dict[str, str] | None:
    """Return bytes as text if they are text, and as hex in any case."""
    return None if data is None else {"hex": data.hex()} | ({} if (text := as_text(data)) is None else {"text": text})


def _about(entry: Entry, prefix: str) -> list[str]:
    letter = entry.letter
    attempts = counted(letter.attempts, "attempt")
    ticket = [] if entry.ticket is None else [f"ticket {entry.ticket[0]}"]
    return [
        f"{_name(entry, prefix)}: {letter.reason}, by {letter.agent} at {time_of(letter.at_ms)}, {attempts}",
        f"{letter.error_class}: {letter.detail}",
        *ticket,
        _closed(entry),
    ]


def _parts(letter: DeadLetter) -> list[str]:
    """Return key and value as lines."""
    lines = []
    if letter.key is None:
        lines += ["", "no key"]
    else:
        lines += _part("key", letter.key, len(letter.key) if letter.key_size is None else letter.key_size)
    if letter.tombstone:
        return [*lines, "", "no value"]
    return lines + _part("value", letter.original, letter.original_size)


def _part(name: str, data: bytes, size: int) -> list[str]:
    kept = "" if len(data) == size else f", of which {len(data)} are kept"
    return ["", f"{name}, {counted(size, 'byte')}{kept}:", *byte_lines(data, cut=len(data) < size)]
