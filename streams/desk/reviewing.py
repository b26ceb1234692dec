"""The pages of reviewers: the queue, a ticket, and what can be done with it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, ClassVar
from urllib.parse import parse_qsl, quote, urlencode

from pydantic import Field, ValidationError

from schemas import MAX_NAME, Review, Verdict, digest_of
from schemas.base import Name
from schemas.results import Note
from streams.core.policy.reasons import DecisionReason
from streams.desk.facts import Facts, row_facts, snippet, ticket_facts
from streams.desk.page import Ask, Done, Fields, Page, Refused, View
from streams.desk.roles import Role
from streams.reviews.claims import Claim
from streams.reviews.decision import DecisionRefused
from streams.reviews.journal import Action, Entry
from streams.reviews.opinions import Opinion
from streams.reviews.queue import Filter, Place
from streams.reviews.queue import Page as QueuePage
from streams.reviews.store import QueueItem

_Text = Annotated[str, Field(max_length=200)]
_MAX_EQUAL = 100
#: What is no filter of the queue, but where one is in it.
_PLACE = {"after", "live", "limit"}


class QueueFields(Fields):
    """The filters of the queue."""

    label: _Text = ""
    reason: _Text = ""
    slice: _Text = ""
    text: _Text = ""
    older_min: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] = 0.0
    flagged: bool = False
    after: Annotated[str, Field(max_length=1000)] = ""
    """Where the page begins, as ``next`` of the page before says."""
    live: bool = False
    """Whether an open page reads itself again: that is no leaving of a ticket."""
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @property
    def filter(self) -> Filter:
        """What the store looks for."""
        return Filter(self.label, self.reason, self.slice, self.text, self.older_min * 60, self.flagged)

    @property
    def query(self) -> str:
        """The filters as the query of a link; empty if there are none."""
        chosen = self.model_dump(include=set(QueueFields.model_fields) - _PLACE, exclude_defaults=True)
        return urlencode({name: "1" if value is True else value for name, value in chosen.items()})


class NextFields(QueueFields):
    """The filters of the queue, and for a page that is fetched ahead, which review its reviewer has open now."""

    ahead: bool = False
    besides: Annotated[str, Field(max_length=MAX_NAME)] = ""


class TicketFields(QueueFields):
    """The filters of the queue that the reviewer works through, and how much of the text to show."""

    whole: bool = False
    ahead: bool = False
    """Whether the page is fetched before anybody wants to see it: the ticket is then not claimed."""


class OneReview(Fields):
    """Which review, and the filters of the queue that the reviewer works through."""

    review_id: Name
    filter: Annotated[str, Field(max_length=2000)] = ""

    @property
    def queue(self) -> QueueFields:
        """The filters; none if they cannot be read."""
        try:
            return QueueFields.model_validate(dict(parse_qsl(self.filter)))
        except (ValidationError, ValueError):
            return QueueFields()


class LabelFields(OneReview):
    """A label, or that none fits."""

    label: Name | None = None
    none: bool = False
    note: Note = ""

    @property
    def chosen(self) -> str | None:
        """The label; None: none fits. Raises Refused for a form that says neither, or both."""
        if (self.label is None) is not self.none:
            raise Refused(400, "Choose a label, or that none of these fits.")
        return self.label


class DecideFields(LabelFields):
    """A decision, and the tickets with the same text, or nearly so, that it is for too."""

    many: ClassVar[Collection[str]] = ("also",)

    also: Annotated[tuple[Name, ...], Field(max_length=_MAX_EQUAL)] = ()
    """Review ids."""


class NoteFields(OneReview):
    """Something about a review, and why."""

    note: Note = ""


class ReleaseFields(OneReview):
    """The end of a claim that ends then; one that was prolonged since goes on."""

    until_ms: Annotated[int, Field(ge=0, lt=2**63)]


def ticket_path(review: Review, query: str = "") -> str:
    """Return the address of a ticket's page."""
    # A browser takes the names of folders out of an address.
    name = review.review_id if review.ticket_id in {".", ".."} else review.ticket_id
    return f"/tickets/{quote(name, safe='')}{f'?{query}' if query else ''}"


async def show_queue(ask: Ask, fields: QueueFields) -> View:
    """List the reviews that wait."""
    desk, chosen = ask.desk, fields.filter
    after = Place.of(fields.after) if fields.after else None
    if fields.after and after is None:
        raise Refused(400, "The link names no page of the queue.")

    def read() -> tuple[QueuePage, int, bool, set[str], int]:
        """Read all of it in one thread: on a busy machine each change of thread is a wait."""
        if not fields.live:
            desk.claims.release_all(ask.person.name)
        page, count, more = desk.queue.look(chosen, ask.at_ms, limit=fields.limit, after=after)
        blind = desk.opinions.blind([item.review.review_id for item in page.items])
        return page, count, more, blind, desk.opinions.count_for(ask.person.name)

    page, count, more, blind, second = await asyncio.to_thread(read)
    rows = []
    for item in page.items:
        review_id = item.review.review_id
        facts = row_facts(
            item,
            desk.sight,
            ask.at_ms,
            page.claims.get(review_id),
            flagged=review_id in page.flags,
            blind=review_id in blind,
        )
        rows.append(facts | {"href": ticket_path(item.review, fields.query)})
    return View(
        "queue.html",
        {
            "count": count,
            "exact": not more,
            "rows": rows,
            "next": None if page.after is None else page.after.token(),
            "is_further": after is not None,
            "filter": fields.model_dump(exclude=_PLACE),
            "query": fields.query,
            "labels": list(desk.sight.labels),
            "reasons": list(DecisionReason),
            "opinions": second,
        },
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the store says about a ticket."""

    item: QueueItem
    claim: Claim | None
    opinion: Opinion | None
    history: list[Entry]
    flags: list[tuple[str, str, int]]
    like: list[tuple[QueueItem, float | None]]


def _see(ask: Ask, *, claimed: bool) -> _Seen | None:
    """Read all about the ticket of the page in one thread, and claim it if it waits; None if there is none."""
    desk = ask.desk
    item = desk.store.get(ask.path["ticket_id"])
    if item is None:
        return None
    review_id = item.review.review_id
    claim = None
    if item.is_open:
        claim = _claim(ask, review_id) if claimed else desk.claims.held([review_id], ask.at_ms).get(review_id)
    opinion = desk.opinions.of([review_id]).get(review_id)
    like = [] if not item.is_open or (opinion is not None and opinion.is_blind) else _like(ask, item)
    return _Seen(item, claim, opinion, desk.journal.of_review(review_id), desk.queue.flags(review_id), like)


async def show_next(ask: Ask, fields: NextFields) -> Done:
    """Go to the first ticket that nobody has open."""
    to = await _next(ask, fields, besides=fields.besides)
    return Done(f"{to}{'&' if '?' in to else '?'}ahead=1" if fields.ahead else to)


async def show_ticket(ask: Ask, fields: TicketFields) -> View:
    """Show a ticket, and claim it if it waits."""
    desk, me = ask.desk, ask.person.name
    seen = await asyncio.to_thread(_see, ask, claimed=not (ask.ahead or fields.ahead))
    if seen is None:
        raise Refused(404, "This ticket is not in the review store: it was never in doubt, or its id is another one.")
    item, opinion = seen.item, seen.opinion
    blind = opinion is not None and opinion.is_blind
    facts = ticket_facts(
        item,
        desk.sight,
        ask.at_ms,
        claim=seen.claim,
        history=seen.history,
        flags=seen.flags,
        blind=blind,
        whole=fields.whole,
    )
    decided_by = None if item.decision is None else item.decision.verdict.decided_by
    return View(
        "ticket.html",
        {
            **facts,
            "mine": seen.claim is not None and seen.claim.name == me,
            "like": [
                {
                    "review_id": each.review.review_id,
                    "ticket_id": each.review.ticket_id,
                    "href": ticket_path(each.review, fields.query),
                    "similarity": similarity,
                    # An equal text is on the page already.
                    "text": None if similarity is None else snippet(each.review.ticket.text, desk.sight),
                }
                for each, similarity in seen.like
            ],
            "opinion": _opinion_facts(opinion),
            "may_give": blind and decided_by not in {None, me},
            "may_ask": opinion is None and ask.person.role.may(Role.LEAD) and facts["state"] not in {"again", "closed"},
            "query": fields.query,
            "href": ticket_path(item.review, fields.query),
            "may_correct": item.decision is not None and item.decision.sent and _has_a_say(ask, item),
            "undo_s": desk.settings.desk.undo_s,
        },
    )


async def decide(ask: Ask, fields: DecideFields) -> Done:
    """Decide a ticket; it is sent once it can no longer be undone."""
    desk, label = ask.desk, fields.chosen
    undo_ms = round(desk.settings.desk.undo_s * 1000)
    also = await _also(ask, fields)

    async def take(review_id: str) -> Verdict:
        stored = await asyncio.to_thread(
            desk.store.decide, review_id, label, ask.person.name, fields.note, ask.at_ms, undo_ms=undo_ms
        )
        return stored.verdict

    verdict = await take(fields.review_id)
    left = []
    for each in also:
        try:
            await take(each)
        except DecisionRefused:  # somebody else was faster, and the first one is decided all the same
            left.append((await _item(ask, each)).review.ticket_id)
    desk.sender.wake()
    return Done(
        await _next(ask, fields.queue),
        {
            "ticket_id": verdict.ticket_id,
            "review_id": fields.review_id,
            "label": verdict.label,
            "undo_until_ms": verdict.at_ms + undo_ms,
            "also": len(also) - len(left),
            "left": left,
        },
    )


async def undo(ask: Ask, fields: OneReview) -> Done:
    """Take a decision back before it is sent, and those that were made together with it."""
    store, me = ask.desk.store, ask.person.name
    together = await asyncio.to_thread(store.together, fields.review_id, me)
    item = await asyncio.to_thread(store.undo, fields.review_id, me, ask.at_ms)
    for each in together:
        if each != fields.review_id:
            await asyncio.to_thread(store.undo, each, me, ask.at_ms)
    return Done(ticket_path(item.review, fields.queue.query), {"ticket_id": item.review.ticket_id})


async def correct(ask: Ask, fields: LabelFields) -> Done:
    """Replace a decision that was sent: the new result counts more than the one before."""
    desk, label = ask.desk, fields.chosen
    item = await _item(ask, fields.review_id)
    if not _has_a_say(ask, item):
        raise Refused(403, "Only a lead corrects what somebody else has decided.")
    decision = await asyncio.to_thread(
        desk.store.correct, item.review.review_id, label, ask.person.name, fields.note, ask.at_ms
    )
    await asyncio.to_thread(desk.opinions.settle, item, ask.person.name, ask.at_ms, upheld=False)
    desk.sender.wake()
    return Done(
        ticket_path(item.review, fields.queue.query),
        {"ticket_id": decision.verdict.ticket_id, "label": label, "decision": decision.verdict.decision},
    )


async def skip(ask: Ask, fields: NoteFields) -> Done:
    """Leave a ticket to others for some time, and go to the next."""
    item = await _waiting(ask, fields.review_id)
    desk, me = ask.desk, ask.person.name
    until = ask.at_ms + round(desk.settings.desk.skip_minutes * 60_000)
    await asyncio.to_thread(desk.queue.mark, fields.review_id, "skip", me, until)
    await asyncio.to_thread(desk.claims.release, fields.review_id, me)
    await _note(ask, Action.SKIP, item)
    return Done(await _next(ask, fields.queue), {"ticket_id": item.review.ticket_id})


async def flag(ask: Ask, fields: NoteFields) -> Done:
    """Mark a ticket for a lead to look at."""
    item = await _waiting(ask, fields.review_id)
    await asyncio.to_thread(ask.desk.queue.mark, fields.review_id, "flag", ask.person.name, ask.at_ms, fields.note)
    await _note(ask, Action.FLAG, item, fields.note)
    return Done(ticket_path(item.review, fields.queue.query), {"ticket_id": item.review.ticket_id})


async def unflag(ask: Ask, fields: NoteFields) -> Done:
    """Take the flags off a ticket."""
    item = await _waiting(ask, fields.review_id)
    await asyncio.to_thread(ask.desk.queue.unmark, fields.review_id, "flag")
    await _note(ask, Action.UNFLAG, item)
    return Done(ticket_path(item.review, fields.queue.query), {"ticket_id": item.review.ticket_id})


async def claim(ask: Ask, fields: OneReview) -> Done:
    """Prolong the claim on a ticket that is open in a browser."""
    item = await _waiting(ask, fields.review_id)
    held = await asyncio.to_thread(_claim, ask, fields.review_id)
    return Done(
        ticket_path(item.review),
        {"by": held.name, "mine": held.name == ask.person.name, "until_ms": held.until_ms},
    )


async def release(ask: Ask, fields: ReleaseFields) -> Done:
    """End the claim on a ticket whose page was left."""
    await asyncio.to_thread(ask.desk.claims.release, fields.review_id, ask.person.name, until_ms=fields.until_ms)
    return Done("/queue", {})


async def show_opinions(ask: Ask, _: Fields) -> View:
    """List the tickets that wait for one's second opinion, and for leads those on which two reviewers disagree."""
    desk = ask.desk
    waiting = await asyncio.to_thread(desk.opinions.waiting_for, ask.person.name)
    disagreed = await asyncio.to_thread(desk.opinions.disagreed) if ask.person.role.may(Role.LEAD) else []

    def row(item: QueueItem, *, blind: bool) -> Facts:
        facts = row_facts(item, desk.sight, ask.at_ms, None, flagged=False, blind=blind)
        return facts | {"href": ticket_path(item.review)}

    return View(
        "opinions.html",
        {
            "waiting": [row(item, blind=True) for item in waiting],
            "disagreed": [row(item, blind=False) for item in disagreed],
        },
    )


async def ask_opinion(ask: Ask, fields: OneReview) -> Done:
    """Ask that a second person decides a ticket too, without seeing what the models or the first one said."""
    item = await _item(ask, fields.review_id)
    await asyncio.to_thread(ask.desk.opinions.ask, item, ask.person.name, ask.at_ms)
    return Done(ticket_path(item.review, fields.queue.query), {"ticket_id": item.review.ticket_id})


async def give_opinion(ask: Ask, fields: LabelFields) -> Done:
    """Give a second opinion; the result changes only if a lead corrects it."""
    item = await _item(ask, fields.review_id)
    given = await asyncio.to_thread(
        ask.desk.opinions.give, item, fields.chosen, ask.person.name, fields.note, ask.at_ms
    )
    return Done("/opinions", {"ticket_id": item.review.ticket_id, "state": given.state})


async def uphold(ask: Ask, fields: OneReview) -> Done:
    """Let the first decision stand after two reviewers disagreed."""
    item = await _item(ask, fields.review_id)
    if not await asyncio.to_thread(ask.desk.opinions.settle, item, ask.person.name, ask.at_ms, upheld=True):
        raise Refused(409, "Nobody disagrees on this ticket.")
    return Done("/opinions", {"ticket_id": item.review.ticket_id})


async def _also(ask: Ask, fields: DecideFields) -> list[str]:
    """Return the further reviews that a decision is for; raises Refused for one that has another text, or is blind."""
    if not fields.also:
        return []
    item = await _waiting(ask, fields.review_id)
    known = {each.review.review_id for each, _ in await asyncio.to_thread(_like, ask, item)}
    blind = await asyncio.to_thread(ask.desk.opinions.blind, [fields.review_id])
    also = [each for each in dict.fromkeys(fields.also) if each != fields.review_id]
    if blind or not known.issuperset(also):
        raise Refused(
            409,
            "Not all of these tickets wait with the same text, or nearly so. Nothing was decided; load the page again.",
        )
    return also


def _like(ask: Ask, item: QueueItem) -> list[tuple[QueueItem, float | None]]:
    """Return the other waiting reviews with the same text, or nearly so and then how similar it is (cosine).

    Those that somebody else has open, or that are to be decided blind, are left out.
    """
    desk, mine = ask.desk, item.review.review_id
    equal = desk.queue.equal_texts(digest_of(item.review.ticket.text), _MAX_EQUAL + 1)
    near = desk.nearness.near(mine, desk.settings.desk.near_similarity, _MAX_EQUAL)
    known = {each.review.review_id for each in equal}
    found: list[tuple[QueueItem, float | None]] = [(each, None) for each in equal]
    others = desk.queue.those(near.keys() - known)
    found += [
        (each, near[each.review.review_id]) for each in sorted(others, key=lambda one: -near[one.review.review_id])
    ]
    ids = [each.review.review_id for each, _ in found]
    blind = desk.opinions.blind(ids)
    held = desk.claims.held(ids, ask.at_ms)
    free = {each for each in ids if each not in held or held[each].name == ask.person.name} - blind - {mine}
    return [pair for pair in found if pair[0].review.review_id in free][:_MAX_EQUAL]


def _opinion_facts(opinion: Opinion | None) -> Facts | None:
    if opinion is None:
        return None
    facts: Facts = {"state": opinion.state, "asked_by": opinion.asked_by}
    return facts if opinion.is_blind else facts | {"by": opinion.name, "label": opinion.label, "note": opinion.note}


async def _item(ask: Ask, review_id: str) -> QueueItem:
    item = await asyncio.to_thread(ask.desk.store.get, review_id)
    if item is None or item.review.review_id != review_id:
        raise Refused(404, "There is no such review.")
    return item


def _claim(ask: Ask, review_id: str) -> Claim:
    until = ask.at_ms + round(ask.desk.settings.desk.claim_minutes * 60_000)
    return ask.desk.claims.take(review_id, ask.person.name, ask.at_ms, until)


async def _waiting(ask: Ask, review_id: str) -> QueueItem:
    item = await _item(ask, review_id)
    if not item.is_open:
        raise DecisionRefused("nobody has to decide this ticket any more")
    return item


async def _next(ask: Ask, fields: QueueFields, besides: str = "") -> str:
    """Return the address of the next ticket, another one than the review ``besides``; of the queue if there is none."""
    item = await asyncio.to_thread(ask.desk.queue.next_for, ask.person.name, fields.filter, ask.at_ms, besides=besides)
    query = fields.query
    return f"/queue{f'?{query}' if query else ''}" if item is None else ticket_path(item.review, query)


async def _note(ask: Ask, action: Action, item: QueueItem, detail: str = "") -> None:
    review = item.review
    entry = Entry(ask.at_ms, ask.person.name, action, review.review_id, review.ticket_id, detail=detail)
    await asyncio.to_thread(ask.desk.journal.add, entry)


def _has_a_say(ask: Ask, item: QueueItem) -> bool:
    """Return whether the decision is the person's own, or a lead's business."""
    mine = item.decision is not None and item.decision.verdict.decided_by == ask.person.name
    return mine or ask.person.role.may(Role.LEAD)


PAGES = (
    Page("GET", "/queue", Role.REVIEWER, show_queue, "The reviews that wait, the most uncertain first", QueueFields),
    Page("GET", "/next", Role.REVIEWER, show_next, "The next ticket that nobody has open", NextFields),
    Page(
        "GET",
        "/tickets/{ticket_id:path}",
        Role.REVIEWER,
        show_ticket,
        "A ticket, which is claimed by that",
        TicketFields,
    ),
    Page("POST", "/decide", Role.REVIEWER, decide, "Decide a ticket", DecideFields),
    Page("POST", "/undo", Role.REVIEWER, undo, "Take a decision back before it is sent", OneReview),
    Page("POST", "/correct", Role.REVIEWER, correct, "Replace a decision: your own, or as a lead any", LabelFields),
    Page("POST", "/skip", Role.REVIEWER, skip, "Leave a ticket to others for some time", NoteFields),
    Page("POST", "/flag", Role.REVIEWER, flag, "Mark a ticket for a lead", NoteFields),
    Page("POST", "/unflag", Role.LEAD, unflag, "Take the flags off a ticket", NoteFields),
    Page("GET", "/opinions", Role.REVIEWER, show_opinions, "The tickets that wait for your second opinion"),
    Page("POST", "/ask", Role.LEAD, ask_opinion, "Ask for a second opinion on a ticket", OneReview),
    Page("POST", "/opinion", Role.REVIEWER, give_opinion, "Give a second opinion", LabelFields),
    Page("POST", "/uphold", Role.LEAD, uphold, "Let the first decision stand", OneReview),
    Page("POST", "/claim", Role.REVIEWER, claim, "Prolong the claim on a ticket", OneReview),
    Page("POST", "/release", Role.REVIEWER, release, "End the claim on a ticket", ReleaseFields),
)
