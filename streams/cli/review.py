"""hedgerow review: what waits for a reviewer, and what the reviewer decides."""

from __future__ import annotations

import sys
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from schemas import Call, Reason, Scored, rank
from streams.cli.login import login_name
from streams.cli.message_lines import label_text, time_of
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import now_ms, run
from streams.cli.tables import Column, show_table
from streams.cli.terminal import plain
from streams.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.desk.sending import Sent
    from streams.reviews.decision import Decision
    from streams.reviews.store import QueueItem, ReviewStore
    from streams.settings import Settings

app = typer.Typer(help="List, show and decide the tickets in review, the most uncertain first.", no_args_is_help=True)


@app.command("list")
def list_reviews(
    config: Config = DEFAULT_CONFIG,
    limit: Annotated[int, typer.Option("--max", min=1, help="Maximum number of rows")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the tickets in review, the most uncertain first."""
    _, store = _open(config)
    items, unfinished = store.waiting(limit), store.unfinished()
    blind = _blind(store, [*items, *unfinished])
    if as_json:
        for item in (*items, *unfinished):
            print(orjson.dumps(_row(item, blind=item.review.review_id in blind)).decode())
        return
    counts = store.counts()
    columns = (
        Column("ticket"),
        Column("nats", right=True),
        Column("suggested"),
        Column("why", "cut"),
        Column("text", "cut"),
    )
    reviews = [item.review for item in items]
    rows = [
        (one.ticket_id, "", None, "a second opinion is asked for", one.ticket.text)
        if one.review_id in blind
        else (one.ticket_id, f"{one.uncertainty:.2f}", one.suggested, ", ".join(one.reasons), one.ticket.text)
        for one in reviews
    ]
    unfit = f" ({counts.none_of_these} as none of the labels)" if counts.none_of_these else ""
    show_table(columns, rows, title=f"{counts.waiting} waiting, {counts.decided} decided{unfit}")
    for number, count in Counter(item.again.run for item in unfinished if item.again).items():
        print(
            f"{counted(count, 'review')} more: run {number} has ended, or is at work, before it sent their tickets again: "
            f"hedgerow rerun --from reviews --run {number}"
        )
    _offer_again(store)


def _offer_again(store: ReviewStore) -> None:
    """Say how many reviews wait for a reason that passes, and how their tickets go through again once it has."""
    from streams.core.policy.reasons import DecisionReason
    from streams.reviews.queue import Filter, Queue

    passing = {
        Reason.NO_ANSWER: "because a model did not answer",
        DecisionReason.OUTAGE: "because an endpoint was down",
        DecisionReason.POLICY_STALE: "because the policy was stale",
        DecisionReason.ESCALATION_BUDGET: "because the escalations were used up",
        Reason.OVER_BUDGET: "because the money was spent",
        Reason.BREAKER_OPEN: "because a breaker was open",
    }
    queue = Queue(store)
    for reason, why in passing.items():
        count, is_more = queue.count(Filter(reason=reason), now_ms())
        if count:
            many = f"{count:,} or more reviews wait" if is_more else counted(count, "review waits", "reviews wait")
            print(f"{many} {why}: once that is over, hedgerow rerun --from reviews --reason {reason}")


@app.command()
def show(
    ticket: Annotated[str, typer.Argument(help="Ticket id or review id")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Print one ticket with what both tiers said, or where it went if it was never in review."""
    settings, store = _open(config)
    item = store.get(ticket)
    if item is None:
        _show_routed(settings, ticket, as_json=as_json)
        return
    if _blind(store, [item]):
        if as_json:
            print(orjson.dumps(_row(item, blind=True)).decode())
        else:
            said = (
                "a second opinion is asked for: what the models and the first reviewer said is shown once it is given"
            )
            Console(highlight=False).print(plain(f"{item.review.ticket.text}\n\n{said}"), markup=False)
        return
    if as_json:
        print(orjson.dumps({**_row(item), "review": item.review.model_dump(mode="json")}).decode())
        return
    review = item.review
    lines = [review.ticket.text, f"\nwhy in review: {', '.join(review.reasons)}; policy {review.policy_id}"]
    lines += [_spoken(call) for call in review.calls]
    if item.decision is not None:
        verdict = item.decision.verdict
        unsent = "" if item.decision.sent else "; not sent yet: hedgerow review resend"
        if item.undo_until_ms is not None:
            unsent = f"; it can be undone at the desk until {time_of(item.undo_until_ms)}, and is sent then"
        lines.append(
            f"decided: {label_text(verdict.label)} by {verdict.decided_by} at {time_of(verdict.at_ms)}{unsent}"
        )
    if item.again is not None:
        lines.append(f"sent through again in run {item.again.run} by {item.again.by} at {time_of(item.again.at_ms)}")
    if item.closed_by is not None:
        lines.append("closed without a decision: the ticket has come again since")
    console = Console(highlight=False)
    for line in lines:
        console.print(plain(line), markup=False)


_Ticket = Annotated[str, typer.Argument(help="Ticket id or review id")]
_Label = Annotated[str | None, typer.Argument(help="Right label for the ticket")]
_None = Annotated[bool, typer.Option("--none", help="Say that no label fits the ticket")]
_By = Annotated[str | None, typer.Option(help="Name of the reviewer (default: login name)")]
_Note = Annotated[str, typer.Option(help="Note on why, kept with the verdict")]


@app.command()
def decide(
    ticket: _Ticket,
    label: _Label = None,
    config: Config = DEFAULT_CONFIG,
    none: _None = False,
    by: _By = None,
    note: _Note = "",
    as_json: AsJson = False,
) -> None:
    """Decide a ticket: the label goes to routed, decided by human, and the verdict to verdicts."""
    _decide(ticket, label, config, none=none, by=by, note=note, as_json=as_json, correct=False)


@app.command()
def correct(
    ticket: _Ticket,
    label: _Label = None,
    config: Config = DEFAULT_CONFIG,
    none: _None = False,
    by: _By = None,
    note: _Note = "",
    as_json: AsJson = False,
) -> None:
    """Replace a ticket's result, a model's too: a new result and a new verdict go out, which count more than the ones before."""
    _decide(ticket, label, config, none=none, by=by, note=note, as_json=as_json, correct=True)


def _decide(
    ticket: str,
    label: str | None,
    config: Path,
    *,
    none: bool,
    by: str | None,
    note: str,
    as_json: bool,
    correct: bool,
) -> None:
    if (label is None) is not none:
        raise typer.BadParameter("give a label, or --none if none fits")
    settings, store = _open(config)
    who, at_ms = by or login_name(), now_ms()
    if correct:
        verdict = _correct(settings, store, ticket, label, who, note, at_ms).verdict
    else:
        verdict = _first(store, ticket, label, who, note, at_ms).verdict
    sent = send_decisions(settings, store)
    if as_json:
        print(orjson.dumps({"ticket_id": verdict.ticket_id, "label": verdict.label, "sent": sent.count}).decode())
    else:
        print(f"{verdict.ticket_id}: {label_text(verdict.label)}")
    _end(sent)


def _first(store: ReviewStore, ticket: str, label: str | None, by: str, note: str, at_ms: int) -> Decision:
    from streams.reviews.decision import AlreadyDecided, DecisionRefused

    try:
        return store.decide(_get(store, ticket).review.review_id, label, by, note, at_ms)
    except AlreadyDecided as error:
        raise DecisionRefused(f"{error}: hedgerow review correct replaces that") from error


def _correct(
    settings: Settings, store: ReviewStore, ticket: str, label: str | None, by: str, note: str, at_ms: int
) -> Decision:
    """Correct the decision that stands, or the result that counts if it is of a later text or run, or of no review."""
    from streams.errors import HedgerowError, SettingsError
    from streams.kafka.results import find_result, find_ticket

    item = store.get(ticket)
    ticket_id = ticket if item is None else item.review.ticket_id
    connection, prefix = settings.broker.connection, settings.topics.prefix
    try:
        found = run(find_result(ticket_id, connection, prefix=prefix))
    except HedgerowError as error:
        if item is None:
            raise SettingsError(f"no review of {ticket!r}, and the topic routed cannot be read: {error}") from error
        found = None  # the decision is stored, and sent later
    if item is not None and (found is None or rank(found.routed)[:2] <= rank(item.review)[:2]):
        return store.correct(item.review.review_id, label, by, note, at_ms)
    if found is None:
        raise SettingsError(f"no review of {ticket!r}, and it was not routed: hedgerow review list shows what waits")
    about = run(find_ticket(ticket_id, found.routed.revision, connection, prefix=prefix))
    if about is None:
        raise SettingsError(
            f"the text of {ticket_id!r} is no longer on the topic tickets: its result cannot be corrected"
        )
    return store.correct_result(found.routed, about, label, by, note, at_ms)


@app.command()
def resend(config: Config = DEFAULT_CONFIG) -> None:
    """Send decisions that were stored while the broker was unavailable. Exit 1 if it refuses one."""
    sent = send_decisions(*_open(config))
    print(f"{counted(sent.count, 'decision')} sent")
    if sent.left:
        print(
            f"{counted(sent.left, 'decision')} left to another sender; if it has ended, run this again in ten seconds"
        )
    _end(sent)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="New file, readable by its owner alone")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Write the review store as it is now into a file, while others work on it; logins are left out."""
    from streams.reviews.backup import back_up

    _print_rows(back_up(_store(config).database, file), "backed up", as_json=as_json)


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="File that backup has written, of a store in either database")],
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Fill an empty review store from a backup, while no worker or desk uses it; one that holds anything is left as it is."""
    from streams.reviews.backup import restore

    _print_rows(restore(file, _store(config).database), "restored", as_json=as_json)


def _store(config: Config) -> ReviewStore:
    return _open(config)[1]


def _print_rows(rows: dict[str, int], done: str, *, as_json: bool) -> None:
    named = ", ".join(f"{table} {count}" for table, count in rows.items())
    print(orjson.dumps(rows).decode() if as_json else f"{counted(rows['reviews'], 'review')} {done}: rows of {named}")


def send_decisions(settings: Settings, store: ReviewStore) -> Sent:
    """Send every stored decision that the topics do not have yet; raises StopWorker if the broker takes none."""
    from streams.desk.sending import Progress, on_topics, send_unsent
    from streams.errors import SettingsError, StopWorker
    from streams.kafka.send import publish

    connection, prefix, wire = settings.broker.connection, settings.topics.prefix, settings.wire
    send = partial(publish, connection=connection, prefix=prefix, wire=wire)

    progress = Progress()
    try:
        return run(send_unsent(store, send, partial(on_topics, settings=settings), progress))
    except SettingsError:
        raise
    except StopWorker as error:
        raise StopWorker(f"{error}; the decision is stored: send it with hedgerow review resend") from error
    finally:
        store.leave(progress.mine.values())


def _end(sent: Sent) -> None:
    """Name what could not be sent, and exit with 1 if anything could not."""
    for problem in sent.refused.values():
        print(plain(f"{problem}; it is stored: hedgerow review resend"), file=sys.stderr)
    if sent.refused:
        raise typer.Exit(1)


def _open(config: Config) -> tuple[Settings, ReviewStore]:
    from streams.reviews.store import ReviewStore
    from streams.settings import load_settings

    settings = load_settings(config)
    return settings, ReviewStore(settings.review.url, labels=settings.labels, wire=settings.wire)


def _get(store: ReviewStore, ticket: str) -> QueueItem:
    from streams.errors import SettingsError

    item = store.get(ticket)
    if item is None:
        raise SettingsError(
            f"no review of {ticket!r}: hedgerow review list shows what waits, hedgerow review show where a ticket went"
        )
    return item


def _show_routed(settings: Settings, ticket: str, *, as_json: bool) -> None:
    """Print where a ticket that is not in the store went; raises SettingsError if that is unknown."""
    from streams.errors import HedgerowError, SettingsError
    from streams.kafka.results import find_result

    try:
        found = run(find_result(ticket, settings.broker.connection, prefix=settings.topics.prefix))
    except HedgerowError as error:
        raise SettingsError(f"no review of {ticket!r}, and the topic routed cannot be read: {error}") from error
    if found is None:
        raise SettingsError(f"no review of {ticket!r}, and it was not routed: hedgerow review list shows what waits")
    routed, at_ms = found.routed, found.at_ms
    if as_json:
        print(orjson.dumps({"ticket_id": ticket, "at_ms": at_ms, "routed": routed.model_dump(mode="json")}).decode())
        return
    by = {"human": "a reviewer", "memory": "labelled tickets"}.get(routed.decided_by, f"the {routed.decided_by} model")
    sure = "" if routed.confidence is None else f", confidence {routed.confidence:.2f}"
    print(
        plain(
            f"{ticket}: never in this review store; routed as {label_text(routed.label)} by {by} at {time_of(at_ms)}{sure}"
        )
    )
    for call in routed.calls:
        print(plain(_spoken(call)))


def _blind(store: ReviewStore, items: Sequence[QueueItem]) -> set[str]:
    """Return the reviews of these about which nothing may be shown that could lead a second reviewer."""
    from streams.reviews.opinions import Opinions

    return Opinions(store).blind([item.review.review_id for item in items])


def _row(item: QueueItem, *, blind: bool = False) -> dict[str, Any]:
    review = item.review
    if blind:
        return {
            "ticket_id": review.ticket_id,
            "review_id": review.review_id,
            "text": review.ticket.text,
            "second_opinion": True,
        }
    return {
        "ticket_id": review.ticket_id,
        "review_id": review.review_id,
        "uncertainty": review.uncertainty,
        "suggested": review.suggested,
        "reasons": list(review.reasons),
        "text": review.ticket.text,
        "decided": None if item.decision is None else item.decision.verdict.label,
        "closed_by": item.closed_by,
        "none_of_these": item.decision is not None and item.decision.verdict.label is None,
        "run": None if item.again is None else item.again.run,
    }


def _spoken(call: Call) -> str:
    model = call.model_returned or call.model_asked
    if isinstance(call.signal, Scored):
        s = call.signal
        best = sorted(s.label_probs.items(), key=lambda pair: -pair[1])[:3]
        others = ", ".join(f"{label} {share:.2f}" for label, share in best)
        return (
            f"{call.tier} ({model}): {s.label}, confidence {s.confidence:.2f}, entropy {s.entropy:.2f} nats ({others})"
        )
    said = f", it said {call.signal.label}" if call.signal.label else ""
    return f"{call.tier} ({model}): no signal, {call.signal.reason}{said}. {call.signal.detail}"
