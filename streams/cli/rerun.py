"""hedgerow rerun: sends tickets through again."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from streams.cli.login import login_name
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.rerun_sources import Candidates, Source, Wanted, candidates
from streams.cli.runtime import now_ms
from streams.cli.runtime import run as run_to_the_end
from streams.cli.since import since_ms
from streams.cli.terminal import plain
from streams.core.wording import counted

if TYPE_CHECKING:
    from streams.kafka.rerun import Found
    from streams.reviews.store import ReviewStore
    from streams.settings import Settings

#: How many tickets that were not found are named.
_SHOWN = 20


def rerun(
    source: Annotated[Source, typer.Option("--from", help="Where the tickets are taken from")],
    config: Config = DEFAULT_CONFIG,
    reason: Annotated[
        list[str] | None, typer.Option("--reason", help="Only tickets with this reason; may be repeated")
    ] = None,
    ticket: Annotated[
        list[str] | None, typer.Option("--ticket", help="Only the ticket with this id; may be repeated")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 30m, 2h or 7d ago, or a time such as 2026-11-27T08:00 (UTC)")
    ] = None,
    include_decided: Annotated[
        bool, typer.Option("--include-decided", help="Also tickets that a reviewer has decided")
    ] = False,
    run: Annotated[
        int | None, typer.Option(min=1, max=10**15 - 1, help="Number of an interrupted run, to go on with it")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Name of the person who does this (default: login name)")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many tickets would be sent")] = False,
    as_json: AsJson = False,
) -> None:
    """Send tickets through again: each one's latest text on the topic tickets, once for each run.

    Tickets that a reviewer has decided, closed letters and texts that were replaced are skipped.
    """
    from streams.errors import SettingsError
    from streams.settings import load_settings

    settings = load_settings(config)
    wanted = Wanted(reason or (), ticket or (), since_ms(since), include_decided)
    if source is Source.ROUTED and not (wanted.reasons or wanted.ticket_ids or wanted.since_ms):
        raise SettingsError(
            "--from routed needs --reason, --ticket or --since: all results again would be a whole bill"
        )
    number = run or now_ms()
    done = run_to_the_end(send_through_again(source, wanted, settings, by or login_name(), number, dry_run=dry_run))
    sent, to_send, absent, skipped = done
    if as_json:
        counts = {"sent": sent, "not_found": len(absent), "skipped": skipped.total()}
        print(orjson.dumps(counts | {"to_send": to_send, "reasons": dict(skipped), "run": number}).decode())
        return
    print(
        f"{counted(to_send, 'ticket')} would be sent" if dry_run else f"{counted(sent, 'ticket')} sent in run {number}"
    )
    for why, count in skipped.most_common():
        print(f"{count} skipped: {why}")
    for ticket_id in absent[:_SHOWN]:
        print(plain(f"not found: {ticket_id}"), file=sys.stderr)
    if len(absent) > _SHOWN:
        print(f"and {len(absent) - _SHOWN} more", file=sys.stderr)


async def send_through_again(
    source: Source, wanted: Wanted, settings: Settings, by: str, run: int, *, dry_run: bool
) -> tuple[int, int, list[str], Counter[str]]:
    """Return how many tickets were sent and were to be sent, which were not found, and how many were skipped, by why."""
    from streams.kafka.rerun import find, send_again
    from streams.reviews.store import Again, ReviewStore

    connection, prefix = settings.broker.connection, settings.topics.prefix
    store = ReviewStore(settings.review.url, wire=settings.wire)
    async with candidates(source, wanted, settings, store, by=by, run=run, dry_run=dry_run) as known:
        found = await find(known.digests, connection, prefix=prefix)
        closed = store.decided(known.digests) if store.is_there and not wanted.include_decided else ()
        places, gone, again = _sorted(known, found, run, closed)
        kept = [ticket for ticket_id in gone if (ticket := await known.kept(ticket_id)) is not None]
        absent = set(gone) - {ticket.ticket_id for ticket in kept} | set(wanted.ticket_ids) - known.there
        to_send, sent = len(places) + len(kept), 0
        if dry_run:
            return 0, to_send, sorted(absent), +known.skipped
        _note_sent(store, known, found)
        print(f"run {run}: if it is interrupted, go on with --run {run}", file=sys.stderr)
        await known.sent(again)
        with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task("sending", total=to_send)

            def claim(ticket_ids: Sequence[str]) -> Collection[str]:
                # Reviews are closed before their tickets are sent: the run's result outranks a decision that came later.
                decided = store.send_again(ticket_ids, Again(run, by, now_ms())) if store.is_there else set()
                refused = set() if wanted.include_decided else decided
                known.skipped["decided"] += len(refused)
                return set(ticket_ids) - refused

            async def done(ticket_ids: Sequence[str]) -> None:
                nonlocal sent
                await known.sent(ticket_ids)
                if store.is_there:
                    store.sent_again(ticket_ids, run)
                sent += len(ticket_ids)
                progress.advance(task, len(ticket_ids))

            await send_again(
                places, kept, connection, prefix=prefix, run=run, claim=claim, done=done, wire=settings.wire
            )
    return sent, to_send, sorted(absent), +known.skipped


def _note_sent(store: ReviewStore, known: Candidates, found: Found) -> None:
    """Note which tickets of an earlier run are on the topic, though the run did not live to note it."""
    by_run: defaultdict[int, list[str]] = defaultdict(list)
    for ticket_id, run in known.runs.items():
        if run in found.runs.get(ticket_id, ()):
            by_run[run].append(ticket_id)
    for run, ticket_ids in by_run.items():
        store.sent_again(ticket_ids, run)


def _sorted(
    known: Candidates, found: Found, run: int, decided: Collection[str]
) -> tuple[dict[str, tuple[int, int]], list[str], list[str]]:
    """Return where the texts to send are, which tickets are gone, and which were sent with this run before."""
    places: dict[str, tuple[int, int]] = {}
    gone: list[str] = []
    again: list[str] = []
    for ticket_id, digest in known.digests.items():
        before, runs = known.runs.get(ticket_id, run), found.runs.get(ticket_id, ())
        if run in runs:
            again.append(ticket_id)
            known.skipped["already_sent"] += 1
        elif before in runs or (before != run and not runs):
            continue  # another run has it; if its record is gone from the topic, that was long ago
        elif ticket_id in decided:
            known.skipped["decided"] += 1
        elif ticket_id not in found.latest:
            gone.append(ticket_id)
        elif digest not in (None, found.digests[ticket_id]):
            known.skipped["superseded"] += 1
        else:
            places[ticket_id] = found.latest[ticket_id]
    return places, gone, again
