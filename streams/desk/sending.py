"""Sends decisions that are stored: the one way from the review store to Kafka, for the desk and for hedgerow review."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import structlog

from schemas import Message
from streams.errors import GiveUp, HedgerowError
from streams.kafka.send import open_outbox
from streams.kafka.topics import require_topics
from streams.reviews.decision import Decision
from streams.reviews.store import ReviewStore
from streams.settings import Settings

log = structlog.get_logger(__name__)

Send = Callable[[Sequence[Message]], Awaitable[None]]

#: How often the store is asked for decisions, of another desk or of a command that was killed, for instance.
_LOOK_EVERY_S = 2.0
_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Sent:
    """How many decisions were sent, and those that the broker will never take: the problem of each, by its review."""

    count: int
    refused: Mapping[str, str]


async def send_unsent(store: ReviewStore, send: Send, refused: Mapping[str, str] = MappingProxyType({})) -> Sent:
    """Send every stored decision that the topics do not have yet, but for those ``refused`` before.

    The store is first and Kafka second: a crash between the two sends a decision twice, under the same ids, never not at all.
    Decisions that can be undone are left where they are. One that the broker refuses, for its size for instance, stays unsent
    and holds up no other one. Raises what else ``send`` and the store raise.
    """
    unsent = {decision.verdict.review_id: decision for decision in await asyncio.to_thread(store.unsent)}
    problems = {review_id: problem for review_id, problem in refused.items() if review_id in unsent}
    left = [decision for review_id, decision in unsent.items() if review_id not in problems]
    if not left:
        return Sent(0, problems)
    try:
        await _send_and_mark(store, send, left)
    except GiveUp:  # for the sake of one of them
        for decision in left:
            verdict = decision.verdict
            try:
                await _send_and_mark(store, send, [decision])
            except GiveUp as error:
                problems[verdict.review_id] = f"the decision on ticket {verdict.ticket_id!r} cannot be sent: {error}"
    return Sent(sum(decision.verdict.review_id not in problems for decision in left), problems)


async def _send_and_mark(store: ReviewStore, send: Send, decisions: Sequence[Decision]) -> None:
    await send([message for decision in decisions for message in (decision.verdict, decision.routed)])
    await asyncio.to_thread(_mark, store, decisions)


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
        self._refused: Mapping[str, str] = {}
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

            while True:
                self._wake.clear()
                sent = await send_unsent(self._store, send, self._refused)
                if sent.count:
                    log.info("decisions sent", count=sent.count)
                self._note(sent.refused)
                await self._pause()

    def _note(self, refused: Mapping[str, str]) -> None:
        for review_id in refused.keys() - self._refused.keys():
            log.error("a decision cannot be sent; it is stored", problem=refused[review_id])
        self._refused = refused
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
