"""Sends decisions that are stored: the one way from the review store to Kafka, for the desk and for hedgerow review."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import structlog
from aiokafka.errors import KafkaError

from schemas import Message
from streams.aio import in_background
from streams.errors import HedgerowError, StopWorker
from streams.kafka.diagnosis import refusal
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
#: A fifth of ``HELD_FOR_MS``.
_HOLD_EVERY_S = 2.0


#: Returns the verdicts of those decisions that the topics have; None if that cannot be found out now.
Look = Callable[[Sequence[Decision]], Awaitable[Set[str] | None]]


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of decisions."""

    count: int
    """How many were sent."""
    refused: Mapping[str, str]
    """Those that the broker will never take: the problem of each, by its verdict."""
    left: int = 0
    """How many are another sender's, which may have been killed, or cannot be looked for on the topics now."""


@dataclass(slots=True)
class Progress:
    """What one sender knows about the decisions that the store does not know to be sent, by the ids of their verdicts."""

    mine: dict[str, str] = field(default_factory=dict)
    """The reviews of those that it has taken to send."""
    doubtful: set[str] = field(default_factory=set)
    """Those of them that another sender may have sent."""
    acknowledged: set[str] = field(default_factory=set)
    """Those that the topics have, with their results."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why the broker will never take one."""

    def keep(self, decisions: Iterable[Decision]) -> None:
        """Forget all others."""
        verdicts = verdicts_of(decisions)
        self.mine = {verdict: review for verdict, review in self.mine.items() if verdict in verdicts}
        self.doubtful &= verdicts
        self.acknowledged &= verdicts
        self.refused = {verdict: problem for verdict, problem in self.refused.items() if verdict in verdicts}

    def is_to_send(self, decision: Decision) -> bool:
        """Return whether this sender is to send it now."""
        verdict = decision.verdict.verdict_id
        return verdict in self.mine and not any(
            verdict in those for those in (self.doubtful, self.acknowledged, self.refused)
        )


async def send_unsent(store: ReviewStore, send: Send, look: Look, progress: Progress) -> Sent:
    """Send the stored decisions that are due or that another sender has left, but for those refused before.

    The store is first and Kafka second: what the topics have, though the store does not know it, ``progress`` says of this sender's
    own decisions and ``look`` of another's. Decisions that can be undone are left where they are. One that the broker refuses, for
    its size for instance, stays unsent and holds up no other one. Raises what ``send``, ``look`` and the store raise.
    """
    due, left = await asyncio.to_thread(store.take_due)
    unsent = await asyncio.to_thread(store.unsent)
    for decision in unsent:
        verdict = decision.verdict
        if verdict.review_id in due | left:
            progress.mine[verdict.verdict_id] = verdict.review_id
        if verdict.review_id in left:
            progress.doubtful.add(verdict.verdict_id)
    progress.keep(unsent)
    count = await _send_and_mark(store, send, unsent, progress)
    if doubtful := [decision for decision in unsent if decision.verdict.verdict_id in progress.doubtful]:
        there = await look(doubtful)
        if there is not None:
            progress.doubtful.clear()
            progress.acknowledged |= there
            count += await _send_and_mark(store, send, doubtful, progress) - len(there)
    others = sum(decision.verdict.verdict_id not in progress.mine for decision in unsent)
    return Sent(count, dict(progress.refused), others + len(progress.doubtful))


async def on_topics(decisions: Sequence[Decision], settings: Settings) -> set[str]:
    """Return the verdicts of those of these decisions that the topics have: their sender ended before it could note that.

    Only the last messages are looked at, so one that was sent long ago is sent again, under the same ids, and so is one by a
    user who may not read the topics. Raises StopWorker if they cannot be read now.
    """
    connection, prefix = settings.broker.connection, settings.topics.prefix
    try:
        records = await last_records(("routed", "verdicts"), connection, prefix=prefix, committed=True)
    except KafkaError as error:
        if (refused := refusal(error, connection.security)) is None:
            raise StopWorker(f"the topics routed and verdicts cannot be read: {error!r}") from error
        log.warning("what another sender has sent may be sent again", problem=refused)
        return set()
    except TimeoutError:
        raise StopWorker("the topics routed and verdicts cannot be read within some seconds") from None
    there = {record.value for record in records}
    return verdicts_of(
        each for each in decisions if all(settings.wire.encode(part) in there for part in _messages(each))
    )


def verdicts_of(decisions: Iterable[Decision]) -> set[str]:
    """Return the ids of their verdicts, of which a correction has another one."""
    return {decision.verdict.verdict_id for decision in decisions}


def _messages(decision: Decision) -> tuple[Message, Message]:
    return decision.verdict, decision.routed


async def _send_and_mark(store: ReviewStore, send: Send, decisions: Sequence[Decision], progress: Progress) -> int:
    """Send those of these that are to be sent, and return how many are noted as sent now."""
    ready = [decision for decision in decisions if progress.is_to_send(decision)]
    try:
        await _send(send, ready, progress)
    except Refused as refused:  # for the sake of one of them
        parts = {id(message) for message in refused.messages}
        progress.acknowledged |= verdicts_of(each for each in ready if parts.isdisjoint(map(id, _messages(each))))
        for decision in filter(progress.is_to_send, ready):
            try:
                await _send(send, [decision], progress)
            except Refused as error:
                verdict = decision.verdict
                problem = f"the decision on ticket {verdict.ticket_id!r} cannot be sent: {error}"
                progress.refused[verdict.verdict_id] = problem
    there = [decision for decision in decisions if decision.verdict.verdict_id in progress.acknowledged]
    await asyncio.to_thread(_mark, store, there)
    return len(there)


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

            async with in_background(self._hold()):
                while True:
                    self._wake.clear()
                    known = set(self._progress.refused)
                    sent = await send_unsent(self._store, send, self._look, self._progress)
                    if sent.count:
                        log.info("decisions sent", count=sent.count)
                    self._note(sent.refused, known)
                    await self._pause()

    async def _hold(self) -> None:
        """Keep what this sender has taken, however long the broker takes."""
        while True:
            await asyncio.sleep(_HOLD_EVERY_S)
            if self._progress.mine:
                with contextlib.suppress(HedgerowError):  # the store is unavailable, for other senders too
                    await asyncio.to_thread(self._store.hold, list(self._progress.mine.values()))

    async def _look(self, decisions: Sequence[Decision]) -> Set[str] | None:
        try:
            return await on_topics(decisions, self._settings)
        except StopWorker as away:
            log.info("not known yet what another sender has sent", problem=str(away))
            return None

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
