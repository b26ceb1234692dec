"""Sends decisions that are stored: the one way from the review store to Kafka, for the desk and for hedgerow review."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from schemas import Message
from streams.errors import HedgerowError
from streams.kafka.diagnosis import plain_refusals
from streams.kafka.outbox import Refused
from streams.kafka.send import open_outbox
from streams.kafka.tail import last_records
from streams.kafka.topics import require_topics
from streams.reviews.decision import Decision
from streams.reviews.store import ReviewStore
from streams.settings import Settings

log = structlog.get_logger(__name__)

Send = Callable[[Sequence[Message]], Awaitable[None]]

#: How often the store is asked for decisions, of another desk or of a command that was killed, for instance.
_LOOK_EVERY_S = 2.0
_PAUSE_S = 2.0
#: How long a decision is left to the desk that took it to send it, and up to twice that.
_PATIENCE_S = 5.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How many decisions were sent, and those that the broker will never take: the problem of each, by its verdict."""

    count: int
    refused: Mapping[str, str]


@dataclass(slots=True)
class Progress:
    """What one sender knows of the decisions that are unsent as far as the store knows, by the ids of their verdicts."""

    mine: set[str] = field(default_factory=set)
    """Those that are this sender's to send."""
    acknowledged: set[str] = field(default_factory=set)
    """Those that the topics have, with their results."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why the broker will never take a decision."""

    def keep(self, decisions: Iterable[Decision]) -> None:
        """Forget all others."""
        verdicts = verdicts_of(decisions)
        self.mine &= verdicts
        self.acknowledged &= verdicts
        self.refused = {verdict: problem for verdict, problem in self.refused.items() if verdict in verdicts}

    def is_left(self, decision: Decision) -> bool:
        """Return whether this sender is to send it."""
        verdict = decision.verdict.verdict_id
        return verdict in self.mine and verdict not in self.acknowledged and verdict not in self.refused


async def send_unsent(store: ReviewStore, send: Send, progress: Progress) -> tuple[Sent, list[Decision]]:
    """Send the stored decisions that the topics do not have yet and that are this sender's, but for those refused before.

    Returns what was sent, and the decisions that are another sender's, or were: it may have been killed.
    The store is first and Kafka second: what the store does not know to be sent, though the topics have it, ``progress`` says.
    Decisions that can be undone are left where they are. One that the broker refuses, for its size for instance, stays unsent
    and holds up no other one. Raises what else ``send`` and the store raise.
    """
    taken, unsent = await asyncio.to_thread(store.take_unsent)
    progress.mine |= verdicts_of(decision for decision in unsent if decision.verdict.review_id in taken)
    progress.keep(unsent)
    left = [decision for decision in unsent if progress.is_left(decision)]
    try:
        await _send(send, left, progress)
    except Refused as refused:  # for the sake of one of them
        parts = {id(message) for message in refused.messages}
        progress.acknowledged |= verdicts_of(each for each in left if parts.isdisjoint(map(id, _messages(each))))
        for decision in filter(progress.is_left, left):
            try:
                await _send(send, [decision], progress)
            except Refused as error:
                verdict = decision.verdict
                problem = f"the decision on ticket {verdict.ticket_id!r} cannot be sent: {error}"
                progress.refused[verdict.verdict_id] = problem
    done = [decision for decision in unsent if decision.verdict.verdict_id in progress.acknowledged]
    await asyncio.to_thread(_mark, store, done)
    others = [decision for decision in unsent if decision.verdict.verdict_id not in progress.mine]
    return Sent(len(done), dict(progress.refused)), others


async def on_topics(decisions: Sequence[Decision], settings: Settings) -> set[str]:
    """Return the verdicts of those of these decisions that the topics have: who sent them had no time to note it.

    Only the last messages are looked at, so one that was sent long ago is sent again, under the same ids. Raises StopWorker if
    they cannot be read.
    """
    if not decisions:
        return set()
    connection, prefix = settings.broker.connection, settings.topics.prefix
    with plain_refusals(connection.security):
        records = await last_records(("routed", "verdicts"), connection, prefix=prefix, committed=True)
    there = {record.value for record in records}
    return verdicts_of(
        each for each in decisions if all(settings.wire.encode(part) in there for part in _messages(each))
    )


def verdicts_of(decisions: Iterable[Decision]) -> set[str]:
    """Return the ids of their verdicts, of which a correction has another one."""
    return {decision.verdict.verdict_id for decision in decisions}


def _messages(decision: Decision) -> tuple[Message, Message]:
    return decision.verdict, decision.routed


async def _send(send: Send, decisions: Sequence[Decision], progress: Progress) -> None:
    if decisions:
        await send([message for decision in decisions for message in _messages(decision)])
        progress.acknowledged |= verdicts_of(decisions)


def _mark(store: ReviewStore, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        store.mark_sent(decision.verdict.review_id, decision.verdict.decision)


class Sender:
    """Sends decisions once they can no longer be undone, for as long as the desk runs."""

    def __init__(self, store: ReviewStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._wake = asyncio.Event()
        self._began: float | None = None
        self._progress = Progress()
        self._others: dict[str, float] = {}
        # Of several desks one is first, and the others then find on the topics what it sent.
        self._patience_s = random.uniform(_PATIENCE_S, 2 * _PATIENCE_S)  # noqa: S311 - no secret
        self.problem: str | None = None
        """Why decisions are not sent at the moment; None if they are."""

    def wake(self) -> None:
        """Look at once at what is to be sent, and when."""
        self._wake.set()

    async def run(self) -> None:
        """Send until it is cancelled; a broker or a store that is unavailable is waited for."""
        while True:
            try:
                await self._send_while_it_works()
            except HedgerowError as error:
                if self.problem is None:
                    log.warning("decisions cannot be sent; they are stored", problem=str(error))
                self.problem = str(error)
                await asyncio.sleep(_PAUSE_S)

    def stuck_s(self) -> float:
        """Return for how many seconds the broker has not acknowledged what is being sent."""
        return 0.0 if self._began is None else time.monotonic() - self._began

    async def _send_while_it_works(self) -> None:
        connection, prefix = self._settings.broker.connection, self._settings.topics.prefix
        await require_topics(connection, prefix, {"routed", "verdicts"})
        async with open_outbox(connection, prefix=prefix, wire=self._settings.wire) as outbox:

            async def send(messages: Sequence[Message]) -> None:
                self._began = time.monotonic()
                try:
                    await outbox.send(messages)
                finally:
                    self._began = None

            progress = self._progress
            while True:
                self._wake.clear()
                known = set(progress.refused)
                sent, others = await send_unsent(self._store, send, progress)
                if sent.count:
                    log.info("decisions sent", count=sent.count)
                self._note(sent.refused, known)
                if not await self._takes_over(others):
                    await self._pause()

    async def _takes_over(self, others: Sequence[Decision]) -> bool:
        """Take decisions over that nobody sends for a while, and return whether there are any."""
        now = time.monotonic()
        self._others = {verdict: self._others.get(verdict, now) for verdict in verdicts_of(others)}
        late = [each for each in others if now - self._others[each.verdict.verdict_id] > self._patience_s]
        self._progress.acknowledged |= await on_topics(late, self._settings)
        self._progress.mine |= verdicts_of(late)
        return bool(late)

    def _note(self, refused: Mapping[str, str], known: Container[str]) -> None:
        for verdict, problem in refused.items():
            if verdict not in known:
                log.error("a decision cannot be sent; it is stored", problem=problem)
        self.problem = next((f"{each}; hedgerow review resend tries again" for each in refused.values()), None)

    async def _pause(self) -> None:
        """Return when the next decision is due, when there is news, or after some seconds."""
        due_ms = await asyncio.to_thread(self._store.next_due_ms)
        left_s = _LOOK_EVERY_S if due_ms is None else due_ms / 1000 - time.time()
        try:
            async with asyncio.timeout(min(max(left_s, 0.01), _LOOK_EVERY_S)):
                await self._wake.wait()
        except TimeoutError:
            pass
