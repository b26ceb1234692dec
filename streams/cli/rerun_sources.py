"""Where the tickets of a re-run are taken from: the review store, the dead letters, or the results."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from streams.cli.runtime import now_ms

if TYPE_CHECKING:
    from schemas import Rank, Ticket
    from streams.kafka.letter_book import Entry, LetterBook
    from streams.reviews.store import ReviewStore
    from streams.settings import Settings


class Source(StrEnum):
    """Where the tickets of a re-run are taken from."""

    REVIEWS = "reviews"
    DEAD_LETTERS = "dead-letters"
    ROUTED = "routed"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tickets of a source an operator means."""

    reasons: Sequence[str] = ()
    ticket_ids: Sequence[str] = ()
    since_ms: int = 0
    include_decided: bool = False

    def fits(self, ticket_id: str, reasons: Iterable[str], at_ms: int) -> bool:
        """Return whether a ticket is meant, with the reasons that its source gives and its time there."""
        return (
            (not self.ticket_ids or ticket_id in self.ticket_ids)
            and at_ms >= self.since_ms
            and (not self.reasons or any(_is(each, wanted) for each in reasons for wanted in self.reasons))
        )


async def _nothing(_: Sequence[str]) -> None:
    return


async def _none(_: str) -> None:
    return None


@dataclass(slots=True)
class Candidates:
    """The tickets that a source has, and how many of them are not sent, by why."""

    digests: dict[str, bytes | None] = field(default_factory=dict)
    """A digest of each one's text there; None if the source has no texts."""
    skipped: Counter[str] = field(default_factory=Counter)
    there: set[str] = field(default_factory=set)
    """Every ticket that the source has, whether or not it is meant."""
    kept: Callable[[str], Awaitable[Ticket | None]] = _none
    """Returns a ticket as the source has it, for one that is gone from the topic."""
    runs: dict[str, int] = field(default_factory=dict)
    """The run that a ticket was to be sent with before, for those of which it is not known that the broker has them."""
    sent: Callable[[Sequence[str]], Awaitable[None]] = _nothing
    """Is called with the tickets that the broker has again."""


@asynccontextmanager
async def candidates(
    source: Source, wanted: Wanted, settings: Settings, store: ReviewStore, *, by: str, run: int, dry_run: bool
) -> AsyncIterator[Candidates]:
    """Yield the tickets of a source; ``by`` names who sends them through again in this ``run``."""
    from streams.kafka.letter_book import read_letters
    from streams.kafka.redrive import letter_desk

    connection, prefix = settings.broker.connection, settings.topics.prefix
    if source is Source.REVIEWS:
        yield _from_reviews(wanted, store)
    elif source is Source.ROUTED:
        yield await _from_routed(wanted, settings)
    elif dry_run:
        known, _ = _from_letters(await read_letters(connection, prefix=prefix), wanted, settings)
        yield known
    else:
        transactions = settings.delivery == "exactly_once"
        async with letter_desk(connection, prefix=prefix, transactions=transactions) as desk:
            known, entries = _from_letters(desk.book, wanted, settings)

            async def sent(ticket_ids: Sequence[str]) -> None:
                for entry in (entry for ticket_id in ticket_ids for entry in entries[ticket_id]):
                    await desk.rerun(entry, by, now_ms(), run=run)

            known.sent = sent
            yield known


def _from_letters(book: LetterBook, wanted: Wanted, settings: Settings) -> tuple[Candidates, dict[str, list[Entry]]]:
    """Return the tickets of dead letters, and the open letters of each."""
    from streams.kafka.letter_book import letter_of, ticket_of

    known = Candidates()
    entries: defaultdict[str, list[Entry]] = defaultdict(list)
    for entry in book.choose(closed=True):
        letter = entry.letter
        ticket_id, digest = entry.ticket or ("", b"")
        known.there.add(ticket_id)
        if not wanted.fits(ticket_id, [letter.reason], letter.at_ms):
            continue
        if not entry.is_open:
            known.skipped["closed"] += 1
        elif entry.ticket is None:
            known.skipped["no_ticket"] += 1
        else:
            known.digests[ticket_id] = digest
            entries[ticket_id].append(entry)

    async def kept(ticket_id: str) -> Ticket | None:
        prefix = settings.topics.prefix
        letter = await letter_of(entries[ticket_id][-1], settings.broker.connection, prefix=prefix)
        return None if letter is None else ticket_of(letter, prefix)

    known.kept = kept
    return known, entries


def _from_reviews(wanted: Wanted, store: ReviewStore) -> Candidates:
    from schemas import digest_of, rank

    known, latest = Candidates(), dict[str, tuple[int, int]]()
    for item in store.each() if store.is_there else ():
        review = item.review
        ticket_id, turn = review.ticket_id, rank(review)[:2]
        known.there.add(ticket_id)
        if item.closed_by is not None or turn < latest.get(ticket_id, turn):
            continue
        latest[ticket_id] = turn
        known.digests.pop(ticket_id, None)
        known.runs.pop(ticket_id, None)
        if wanted.fits(ticket_id, review.reasons, item.added_ms):
            known.digests[ticket_id] = digest_of(review.ticket.text)
            if item.again is not None:
                known.runs[ticket_id] = item.again.run

    async def kept(ticket_id: str) -> Ticket | None:
        item = store.get(ticket_id)
        return None if item is None else item.review.ticket

    known.kept = kept
    return known


async def _from_routed(wanted: Wanted, settings: Settings) -> Candidates:
    from schemas import Routed, rank
    from streams.kafka.readers import decode, reader, to_the_end

    prefix = settings.topics.prefix
    results: dict[str, tuple[Rank, bool, bool]] = {}
    async with reader(["routed"], settings.broker.connection, prefix=prefix) as consumer:
        async for record in to_the_end(consumer):
            result = decode(record, prefix)
            if record.value is None and record.key is not None:
                results.pop(record.key.decode("utf-8", "replace"), None)  # it was forgotten
            if not isinstance(result, Routed):
                continue
            before, place = results.get(result.ticket_id), rank(result)
            if before is None or place >= before[0]:
                fits = wanted.fits(result.ticket_id, result.reasons, record.timestamp)
                results[result.ticket_id] = place, fits, result.decided_by == "human"
    known = Candidates(there=set(results))
    for ticket_id, (_, fits, decided) in results.items():
        if fits and decided and not wanted.include_decided:
            known.skipped["decided"] += 1
        elif fits:
            known.digests[ticket_id] = None
    return known


def _is(reason: str, wanted: str) -> bool:
    """Whether a reason is the wanted one, or has it among its parts: ``cheap:policy_stale`` is ``policy_stale``."""
    return f":{wanted}:" in f":{reason}:"
