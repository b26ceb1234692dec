"""The pages of who watches the pipeline: the overview, alerts, dead letters and the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas import TOPICS, DeadLetter
from schemas.base import Name
from schemas.results import Note
from streams.core.drift.acknowledgement import acknowledgement
from streams.desk.facts import Facts, entry_facts
from streams.desk.page import Ask, Done, Fields, Page, Refused, View
from streams.desk.roles import Role
from streams.desk.topics import newest
from streams.errors import GiveUp
from streams.kafka.letter_book import Entry as Letter
from streams.kafka.letter_book import letter_of
from streams.kafka.redrive import LetterDesk, letter_desk
from streams.kafka.send import publish
from streams.reviews.journal import Action, Entry

_Text = Annotated[str, Field(max_length=200)]
_LETTERS_SHOWN = 200
_LETTERS_AT_ONCE = 1_000
_ALERTS_SHOWN = 200
_HOUR_MS = 3_600_000
#: What is shown of a dead letter's bytes.
_BYTES_SHOWN = 16_384
_OUTCOMES = ("cheap", "big", "human")
_ENDPOINTS_SHOWN, _TOKENS_SHOWN = 12, 3
#: Nats: what is less likely is drawn at the foot of the picture.
_LEAST = -8.0


class AlertFields(Fields):
    """Which alert, and what was found."""

    alert_id: Name
    note: Note = ""


class LetterFilter(Fields):
    """Which dead letters."""

    reason: _Text = ""
    topic: _Text = ""
    closed: bool = False


class CloseFields(Fields):
    """Dead letters by name, or all open ones that fit; and why."""

    many: ClassVar[Collection[str]] = ("letter",)

    letter: Annotated[tuple[Name, ...], Field(max_length=_LETTERS_AT_ONCE)] = ()
    reason: _Text = ""
    topic: _Text = ""
    everything: bool = False
    """All open letters that fit the reason and the topic."""
    note: Note = ""


class JournalFields(Fields):
    """Which entries of the journal."""

    name: _Text = ""
    action: Action | Literal[""] = ""
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None


async def show_overview(ask: Ask, _: Fields) -> View:
    """Show how the pipeline does: results by minute, cost, the queue, who decides."""
    desk = ask.desk
    hour = desk.topics.results.hour(ask.at_ms)
    totals = {name: sum(counts[name] for _, counts in hour) for name in _OUTCOMES}
    counts = await asyncio.to_thread(desk.store.counts)
    since = await asyncio.to_thread(desk.store.hour, ask.at_ms - _HOUR_MS)
    reviewers = await asyncio.to_thread(desk.journal.decided, ask.at_ms - 24 * _HOUR_MS)
    agreement = await asyncio.to_thread(desk.opinions.agreement)
    return View(
        "overview.html",
        {
            "minutes": [
                {"at_ms": minute * 60_000, **{name: found[name] for name in _OUTCOMES}} for minute, found in hour
            ],
            "most": max(1, *(sum(found.values()) for _, found in hour)),
            "totals": totals,
            "total": sum(totals.values()),
            "cost": _cost(desk.topics.results.spent(ask.at_ms), sum(totals[name] for name in ("cheap", "big"))),
            "waiting": counts.waiting,
            "oldest_s": None if counts.oldest_ms is None else max(0, ask.at_ms - counts.oldest_ms) // 1000,
            "added_hour": since.added,
            "decided_hour": since.decided,
            "reviewers": [
                {"by": name, "decided": count, "mean_s": None if took is None else took / 1000}
                for name, count, took in reviewers
            ],
            "agreement": {"given": agreement.given, "agreed": agreement.agreed},
            "open_letters": len(desk.topics.letters.choose()),
            "open_alerts": len(await _unseen(ask)),
            "policy_id": desk.settings.policy.id,
            "drift": _drift(ask),
            "problems": dict(desk.topics.problems),
        },
    )


async def show_alerts(ask: Ask, _: Fields) -> View:
    """List the alerts, the newest first, with who has seen to them."""
    desk = ask.desk
    alerts = newest(desk.topics.alerts)[:_ALERTS_SHOWN]
    seen = await asyncio.to_thread(desk.journal.acknowledged, [alert.alert_id for alert in alerts])
    probed = _probed(ask)
    return View(
        "alerts.html",
        {
            "alerts": [
                {
                    "alert_id": alert.alert_id,
                    "source": alert.source,
                    "kind": alert.kind,
                    "at_ms": alert.at_ms,
                    "summary": alert.summary,
                    "details": alert.details,
                    "seen": None if (entry := seen.get(alert.alert_id)) is None else entry_facts(entry),
                    "of_policy": alert.source in probed,
                }
                for alert in alerts
            ],
            "problem": desk.topics.problems.get("alerts"),
        },
    )


async def acknowledge(ask: Ask, fields: AlertFields) -> Done:
    """Say that somebody has seen to an alert; one of a probed endpoint makes the policy count for its model as it is now."""
    desk, by = ask.desk, ask.person.name
    alert = next((each for each in desk.topics.alerts if each.alert_id == fields.alert_id), None)
    if alert is None:
        raise Refused(404, "There is no such alert.")
    settings = desk.settings
    if alert.source in _probed(ask):
        word = acknowledgement(alert.source, settings.policy.id, by, fields.note, ask.at_ms)
        await publish([word], settings.broker.connection, prefix=settings.topics.prefix, wire=settings.wire)
    entry = Entry(ask.at_ms, by, Action.ACKNOWLEDGE, review_id=alert.alert_id, label=alert.kind, detail=fields.note)
    await asyncio.to_thread(desk.journal.add, entry)
    return Done("/alerts", {"alert_id": alert.alert_id})


async def show_letters(ask: Ask, fields: LetterFilter) -> View:
    """List the dead letters, the oldest first."""
    return _letters(ask, fields)


async def show_letter(ask: Ask, _: Fields) -> View:
    """Show one dead letter with its bytes."""
    settings = ask.desk.settings
    prefix = settings.topics.prefix
    book, name = ask.desk.topics.letters, ask.path["letter"]
    entry = book.get(prefix + name) or book.get(name)
    if entry is None:
        raise Refused(404, "There is no such dead letter.")
    whole = await letter_of(entry, settings.broker.connection, prefix=prefix)
    parts = [] if whole is None else _parts(whole)
    return View("letter.html", {"letter": _letter_facts(entry, prefix), "parts": parts, "gone": whole is None})


async def redrive(ask: Ask, fields: CloseFields) -> View:
    """Send the messages of open dead letters to their topics again, each once, and close the letters."""
    return await _close(ask, fields, Action.REDRIVE)


async def discard(ask: Ask, fields: CloseFields) -> View:
    """Close open dead letters without sending their messages again."""
    return await _close(ask, fields, Action.DISCARD)


async def show_journal(ask: Ask, fields: JournalFields) -> View:
    """List who did what, the latest first."""
    entries = await asyncio.to_thread(
        ask.desk.journal.latest, 200, name=fields.name, action=fields.action, before=fields.before
    )
    about = [entry.review_id for entry in entries if entry.review_id is not None]
    blind = await asyncio.to_thread(ask.desk.opinions.blind, about)
    shown = [replace(entry, label=None, detail="") if entry.review_id in blind else entry for entry in entries]
    return View(
        "journal.html",
        {
            "entries": [entry_facts(entry) for entry in shown],
            "filter": fields.model_dump(),
            "actions": list(Action),
            "before": entries[-1].at_ms if len(entries) == 200 else None,
        },
    )


async def show_users(ask: Ask, _: Fields) -> View:
    """List who has logged in, at this desk or another one on the store."""
    known = await asyncio.to_thread(ask.desk.known_users.all)
    users = [
        {"name": each.name, "role": each.role, "first_ms": each.first_ms, "last_ms": each.last_ms} for each in known
    ]
    return View("users.html", {"users": users})


async def _close(ask: Ask, fields: CloseFields, action: Literal[Action.REDRIVE, Action.DISCARD]) -> View:
    desk, settings, by = ask.desk, ask.desk.settings, ask.person.name
    prefix = settings.topics.prefix
    if bool(fields.letter) is fields.everything:
        raise Refused(400, "Name dead letters, or all that fit.")
    closed: list[str] = []
    refused: list[Facts] = []
    transactions = settings.delivery == "exactly_once"
    async with letter_desk(settings.broker.connection, prefix=prefix, transactions=transactions) as letters:
        for entry in _chosen(letters, fields, prefix)[:_LETTERS_AT_ONCE]:
            name = entry.letter.origin.removeprefix(prefix)
            try:
                if action is Action.REDRIVE:
                    await letters.redrive(entry, by, ask.at_ms, run=ask.at_ms, note=fields.note)
                else:
                    await letters.discard(entry, by, ask.at_ms, note=fields.note)
                closed.append(name)
            except GiveUp as given_up:
                refused.append({"letter": name, "reason": given_up.reason, "detail": str(given_up)})
    ticket = ", ".join(closed[:20]) + (f" and {len(closed) - 20} more" if len(closed) > 20 else "")
    entry_ = Entry(ask.at_ms, by, action, detail=f"{ticket}{': ' if fields.note else ''}{fields.note}")
    await asyncio.to_thread(desk.journal.add, entry_)
    done = {"redriven" if action is Action.REDRIVE else "discarded": closed, "refused": refused}
    view = _letters(ask, LetterFilter(reason=fields.reason, topic=fields.topic), without=set(closed))
    return View(view.template, {**view.facts, "done": done})


def _chosen(letters: LetterDesk, fields: CloseFields, prefix: str) -> list[Letter]:
    if not fields.letter:
        return letters.book.choose(
            reasons=[fields.reason] if fields.reason else (), topics=[prefix + fields.topic] if fields.topic else ()
        )
    found = []
    for name in dict.fromkeys(fields.letter):
        entry = letters.book.get(prefix + name) or letters.book.get(name)
        if entry is None:
            raise Refused(404, "There is no such dead letter.")
        if not entry.is_open:
            raise Refused(409, "The dead letter is closed already.")
        found.append(entry)
    return found


def _letters(ask: Ask, fields: LetterFilter, without: Collection[str] = ()) -> View:
    topics, prefix = ask.desk.topics, ask.desk.settings.topics.prefix
    if fields.topic and fields.topic not in TOPICS:
        raise Refused(400, "There is no such topic.")
    found = topics.letters.choose(
        reasons=[fields.reason] if fields.reason else (),
        topics=[prefix + fields.topic] if fields.topic else (),
        closed=fields.closed,
    )
    # What was closed just now comes back by the topic a moment later.
    found = [each for each in found if fields.closed or each.letter.origin.removeprefix(prefix) not in without]
    reasons = sorted({each.letter.reason for each in topics.letters.choose(closed=True)})
    return View(
        "letters.html",
        {
            "letters": [_letter_facts(entry, prefix) for entry in found[:_LETTERS_SHOWN]],
            "count": len(found),
            "reasons": reasons,
            "topics": list(TOPICS),
            "filter": fields.model_dump(),
            "problem": topics.problems.get("dead-letters"),
            "done": None,
        },
    )


def _letter_facts(entry: Letter, prefix: str) -> Facts:
    letter, closing = entry.letter, entry.closing
    return {
        "letter": letter.origin.removeprefix(prefix),
        "state": entry.state,
        "is_open": entry.is_open,
        "ticket_id": None if entry.ticket is None else entry.ticket[0],
        "reason": letter.reason,
        "agent": letter.agent,
        "attempts": letter.attempts,
        "at_ms": letter.at_ms,
        "error_class": letter.error_class,
        "detail": letter.detail,
        "size": letter.original_size,
        "closing": None if closing is None else closing.model_dump(mode="json"),
    }


def _parts(letter: DeadLetter) -> list[Facts]:
    value = None if letter.tombstone else letter.original
    return [_bytes("key", letter.key), _bytes("value", value)]


def _bytes(name: str, data: bytes | None) -> Facts:
    """Return bytes as text if they are text, else as hex; the beginning of many."""
    if data is None:
        return {"name": name, "size": None, "text": None, "hex": None, "cut": 0}
    shown = data[:_BYTES_SHOWN]
    try:
        text: str | None = shown.decode("utf-8", "strict" if len(shown) == len(data) else "ignore")
    except UnicodeDecodeError:
        text = None
    hexed = None if text is not None else shown.hex(" ")
    return {"name": name, "size": len(data), "text": text, "hex": hexed, "cut": len(data) - len(shown)}


def _cost(spent: dict[str, float], answered: int) -> Facts:
    """Return what each tier cost in the hour, and what the big model would have cost for every ticket, USD."""
    big_calls = spent.get("big calls", 0)
    each = spent["big"] / big_calls if big_calls else None
    return {
        "cheap_usd": spent.get("cheap", 0.0),
        "big_usd": spent.get("big", 0.0),
        "all_big_usd": None if each is None else each * answered,
    }


def _drift(ask: Ask) -> list[Facts]:
    """Return the latest probes of each endpoint: the logprobs of its likeliest tokens, and when it was alarmed about."""
    topics = ask.desk.topics
    found = []
    for endpoint, probes in sorted(topics.probes.items())[:_ENDPOINTS_SHOWN]:
        rows = [(each.at_ms, each.logprobs) for each in probes if each.logprobs]
        mean = {
            token: sum(logprobs.get(token, _LEAST) for _, logprobs in rows) / len(rows)
            for token in {token for _, logprobs in rows for token in logprobs}
        }
        likeliest = sorted(mean, key=lambda token: (-mean[token], token))[:_TOKENS_SHOWN]
        found.append(
            {
                "endpoint": endpoint,
                "probes": len(probes),
                "errors": sum(each.error is not None for each in probes),
                "from_ms": probes[0].at_ms,
                "to_ms": probes[-1].at_ms,
                "least": _LEAST,
                "tokens": [
                    {
                        "token": token,
                        "points": [
                            (at_ms, max(_LEAST, logprobs[token])) for at_ms, logprobs in rows if token in logprobs
                        ],
                    }
                    for token in likeliest
                ],
                "alarms": [
                    {"at_ms": alert.at_ms, "kind": alert.kind}
                    for alert in topics.alerts
                    if alert.source == endpoint and probes[0].at_ms <= alert.at_ms <= probes[-1].at_ms
                ],
            }
        )
    return found


async def _unseen(ask: Ask) -> list[str]:
    ids = [alert.alert_id for alert in ask.desk.topics.alerts]
    seen = await asyncio.to_thread(ask.desk.journal.acknowledged, ids)
    return [each for each in ids if each not in seen]


def _probed(ask: Ask) -> set[str]:
    endpoints = ask.desk.settings.endpoints
    return set() if endpoints is None else {each.name for each in endpoints.endpoints}


PAGES: tuple[Page, ...] = (
    Page("GET", "/overview", Role.REVIEWER, show_overview, "How the pipeline does"),
    Page("GET", "/alerts", Role.LEAD, show_alerts, "The alerts, the newest first"),
    Page("POST", "/acknowledge", Role.OPERATOR, acknowledge, "Say that you have seen to an alert", AlertFields),
    Page("GET", "/dead-letters", Role.LEAD, show_letters, "The dead letters, the oldest first", LetterFilter),
    Page(
        "POST", "/dead-letters/redrive", Role.OPERATOR, redrive, "Send dead letters again, and close them", CloseFields
    ),
    Page("POST", "/dead-letters/discard", Role.OPERATOR, discard, "Close dead letters", CloseFields),
    Page("GET", "/dead-letters/{letter:path}", Role.LEAD, show_letter, "A dead letter with its bytes"),
    Page("GET", "/users", Role.LEAD, show_users, "Who has logged in, and when last"),
    Page("GET", "/journal", Role.LEAD, show_journal, "Who did what, the latest first", JournalFields),
)
