"""Calls that were paid for by a worker that did not live to commit them, found by what it had handed on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from schemas import Call, Classification, Message, Review, Routed, Ticket, Tier, Turn, bytes_of
from streams.agents.model import Asked
from streams.core.guards.availability import is_unanswered


class HandedOn(Protocol):
    """One record of a topic that results are handed on by; aiokafka's ConsumerRecord is one."""

    @property
    def topic(self) -> str:
        """Physical topic name."""

    @property
    def key(self) -> bytes | None:
        """Key bytes."""

    @property
    def value(self) -> bytes | None:
        """Value bytes."""


class PaidCalls:
    """Finds the call that was made about a ticket already, so that the partition's next owner need not pay for it again.

    A worker that is killed has handed on more than it has committed, and what stands in a transaction that was never committed
    can still be read. ``tail`` returns the last records of the topics that calls of this ``tier`` are handed on by; ``read``
    returns the message of one, or None. A call counts if it was made by ``model`` to the prompt of ``prompt_hash``. ``taken``
    is called for each that is taken over.
    """

    def __init__(
        self,
        tier: Tier,
        model: str,
        prompt_hash: str,
        tail: Callable[[], Awaitable[Iterable[HandedOn]]],
        read: Callable[[HandedOn], Message | None],
        taken: Callable[[], None] = lambda: None,
    ) -> None:
        self._made_by = (tier, model, prompt_hash)
        self._tail = tail
        self._read = read
        self._taken = taken
        self._records: dict[bytes, list[HandedOn]] = {}
        self._is_read = False

    def forget(self) -> None:
        """Forget everything: another assignment begins, whose partitions others may have had."""
        self._records = {}
        self._is_read = False

    async def catch_up(self, before: Mapping[tuple[str, int], int]) -> None:  # noqa: ARG002 - the protocol's
        """Read the tail, once in an assignment: it is of all partitions."""
        if self._is_read:
            return
        records: dict[bytes, list[HandedOn]] = {}
        for record in await self._tail():
            if record.key is not None and record.value is not None:
                records.setdefault(record.key, []).append(record)
        self._records = records
        self._is_read = True

    def take(self, ticket: Ticket, turn: Turn, before: Call | None = None) -> Asked | None:
        """Return the call about this text of a ticket in this run, or None; ``before`` is the call that led to it.

        It is returned once. A call without any answer is made again, and so is one about which a message does not say whether
        it is about this text.
        """
        for record in reversed(self._records.pop(bytes_of(ticket.ticket_id), [])):
            message = self._read(record)
            if message is None or not _is_about(message, ticket, turn, before):
                continue
            for call in calls_in(message):
                if (call.tier, call.model_asked, call.prompt_hash) == self._made_by and not is_unanswered(call):
                    self._taken()
                    return Asked(call)
        return None


def _is_about(message: Message, ticket: Ticket, turn: Turn, before: Call | None) -> bool:
    match message:
        case Classification() | Review():
            return (
                message.ticket.text == ticket.text and message.run == turn.run and before in (None, *calls_in(message))
            )
        case Routed():  # says nothing of the text but by the call before
            return message.run == turn.run and before is not None and before in message.calls
    return False


def calls_in(message: Message) -> tuple[Call, ...]:
    """Return the calls that a message hands on, those of the tier before too; none of a message that hands on none."""
    match message:
        case Classification():
            return (message.call,)
        case Routed() | Review():
            return message.calls
    return ()
