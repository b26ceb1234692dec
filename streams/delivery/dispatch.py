"""From the outputs of a handler to a finished offset: steps 7 to 9 of the runner, behind a gate.

The gate is opened by each assignment and shut at its end. In exactly-once mode it is also held during a commit, and what
went out since the last commit is kept until the next one has made it final.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from schemas import DeadLetter, Message
from streams.aio import Changes
from streams.delivery.assignment import Assignment, Partition, Phase, Place
from streams.delivery.dead_letters import shortened
from streams.delivery.gate import Gate
from streams.delivery.observer import Observer
from streams.delivery.stage import Finished, Record
from streams.errors import GiveUp, StopWorker
from streams.kafka.outbox import Refused, TransactionLost

log = structlog.get_logger(__name__)


class Sender(Protocol):
    """Where outputs go; the Outbox is one."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Send and await all acknowledgements.

        Raises Refused for those that are refused, maybe for another one that is being sent; what it does not name is
        acknowledged. Raises TransactionLost if nothing of it stays.
        """

    async def send_apart(self, messages: Sequence[Message]) -> None:
        """As send, while nothing else is sent: a refusal is for one of these."""

    @property
    def final(self) -> bool:
        """Whether what is acknowledged stays; else the next commit decides."""


@dataclass(slots=True)
class Result:
    """A record and the messages that it leads to."""

    record: Record
    outputs: Sequence[Message]
    message_id: bytes | None = None
    """What is remembered as finished with it, if the stage's keys occur once."""
    apart: bool = False
    """Whether its outputs are sent apart, because the broker refused something of what was sent together."""

    @classmethod
    def of(cls, record: Record, outputs: Sequence[Message], message_id: bytes | None) -> Result:
        """Return what a handler made of a record; an id that ended as a dead letter may come again, mended."""
        is_letter = len(outputs) == 1 and isinstance(outputs[0], DeadLetter)
        return cls(record, outputs, None if is_letter else message_id)

    @property
    def partition(self) -> Partition:
        """Where the record came from."""
        return self.record.topic, self.record.partition

    @property
    def place(self) -> Place:
        """Where the record came from, to the offset."""
        return self.record.topic, self.record.partition, self.record.offset


class Dispatch:
    """Sends results and finishes their offsets on the ledgers of the present assignment.

    ``letter`` turns a record whose outputs are refused into its dead letter.
    """

    def __init__(
        self,
        agent: str,
        sender: Sender,
        letter: Callable[[Record, GiveUp], Message],
        *,
        finished: Finished,
        observer: Observer,
        changes: Changes,
    ) -> None:
        self.assignment = Assignment.nothing()
        self.gate = Gate(changes)
        self.sending = 0
        self._agent = agent
        self._sender = sender
        self._letter = letter
        self._finished = finished
        self._observer = observer
        self._changes = changes
        self._kept: list[Result] = []  # went out in the open transaction
        self._lost: list[Result] = []  # went out in one that was not committed

    @property
    def undecided(self) -> bool:
        """Whether anything went out, or is on its way, that the next commit has to make final."""
        return bool(self._kept) or (self.sending > 0 and not self._sender.final)

    def begin(self, assignment: Assignment) -> None:
        """Let this assignment count from now on, and open the gate."""
        self.assignment = assignment
        self.gate.open()

    def leave(self) -> None:
        """The partitions are about to be given back; their ledgers count until ``end``."""
        self.assignment = self.assignment.leaving()

    def end(self, phase: Phase = Phase.NONE) -> None:
        """The assignment is over: nothing goes out until the next one."""
        self.gate.shut()
        self.assignment = Assignment.nothing(phase)

    async def shut(self, timeout_s: float) -> None:
        """Let nothing more out in this assignment, and wait for what is on its way, ``timeout_s`` at most."""
        self.gate.shut()
        await self._sent(timeout_s)

    async def hold(self, timeout_s: float) -> bool:
        """Let nothing out until ``release``; return whether nothing is on its way any more."""
        self.gate.hold()
        return await self._sent(timeout_s)

    def release(self) -> None:
        """Let outputs out again, unless the gate was shut meanwhile."""
        self.gate.release()

    async def _sent(self, timeout_s: float) -> bool:
        await self._changes.until(lambda: not self.sending, timeout_s)
        return not self.sending

    def settle(self) -> None:
        """What went out is final."""
        self._kept.clear()

    def void(self) -> None:
        """What went out since the last commit is lost: it is not finished, and nothing goes out until the next assignment."""
        self.gate.shut()
        self._finished.discard(result.message_id for result in self._kept if result.message_id is not None)
        self._lost += self._kept
        self._kept = []

    def take_lost(self) -> Sequence[Result]:
        """Return what was lost with its transaction and has to go out again."""
        lost, self._lost = self._lost, []
        return lost

    async def deliver(self, results: Sequence[Result], began: float) -> None:
        """Steps 7 to 9; what is lost with its transaction goes out again in the next one."""
        while True:
            await self.gate.passed()
            mine = [result for result in results if self.may_finish(result.record)]
            assignment = self.assignment
            self.sending += 1
            try:
                await self._send(mine)
                self._finish(mine)
                break
            except TransactionLost:
                if assignment is self.assignment:
                    self.gate.shut()  # until the driver has begun again
            finally:
                self.sending -= 1
                self._changes.note()
        if len(mine) < len(results):
            self._observer.skipped(self._agent, "not_ours", len(results) - len(mine))
        self._report(mine, time.perf_counter() - began)

    def may_finish(self, record: Record) -> bool:
        """Step 7. An offset that is open here may have been taken before a rebalance that gave the partition back."""
        ledger = self.assignment.ledger((record.topic, record.partition))
        return ledger is not None and ledger.may_finish(record.offset)

    async def _send(self, results: Sequence[Result]) -> None:
        """Step 8. A record whose outputs are refused sends its dead letter instead, from then on."""
        together = [result for result in results if not result.apart]
        outputs = [message for result in together for message in result.outputs]
        try:
            if outputs:
                await self._sender.send(outputs)
        except Refused as refused:
            # Nobody knows which of them is meant, or whether it is one that another task sent at the same time.
            unsent = {id(message) for message in refused.messages}
            for result in together:
                result.apart = any(id(message) in unsent for message in result.outputs)
        for result in results:
            while result.apart and result.outputs:
                try:
                    await self._sender.send_apart(result.outputs)
                    break
                except Refused as refused:
                    result.outputs, result.message_id = [self._instead(result, refused)], None

    def _instead(self, result: Result, refused: GiveUp) -> Message:
        """Return what goes out instead of outputs that are refused: the record's dead letter, and instead of that, it cut."""
        match result.outputs:
            case [DeadLetter() as letter]:
                cut = shortened(letter)
                if cut == letter:
                    raise StopWorker(f"dead-letters takes no letter of this size: {refused}") from refused
                return cut
            case _:
                return self._letter(result.record, refused)

    def _finish(self, results: Sequence[Result]) -> None:
        """Step 9. With no await since the last acknowledgement: no commit comes between."""
        for result in results:
            ledger = self.assignment.ledger(result.partition)
            if ledger is not None:
                ledger.finish(result.record.offset)
            if result.message_id is not None:
                self._finished.add(result.message_id)
        if not self._sender.final:
            self._kept.extend(results)

    def _report(self, results: Iterable[Result], seconds: float) -> None:
        for result in results:
            for output in result.outputs:
                if isinstance(output, DeadLetter):
                    self._observer.dead_lettered(self._agent, output)
                    _log_letter(output)
            self._observer.handled(self._agent, result.outputs, seconds)


def _log_letter(letter: DeadLetter) -> None:
    # Not its detail, which may quote the message: a ticket's text belongs in no log line.
    log.error(
        "dead letter",
        agent=letter.agent,
        topic=letter.topic,
        partition=letter.partition,
        offset=letter.offset,
        reason=letter.reason,
        error=letter.error_class,
    )


class FinishedIds:
    """The last ``limit`` message ids that are finished in this process, oldest forgotten first.

    A broker that drops commit metadata, or a producer that sends a ticket twice, makes the same id come again. Within a
    process this memory saves the second model call; across processes the deterministic result id does.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._ids: dict[bytes, None] = {}

    def __contains__(self, message_id: bytes) -> bool:
        return message_id in self._ids

    def why_known(self, message_id: bytes) -> str | None:
        """Return why a message needs no call, as metrics count it; None if it does."""
        return "known_id" if message_id in self._ids else None

    def group_of(self, message_id: bytes) -> bytes:
        """Return what messages share of which one is handled at a time."""
        return message_id

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, message_id: bytes) -> None:
        """Remember one id."""
        self._ids[message_id] = None
        if len(self._ids) > self._limit:
            # Half at once: dropping one at a time from a dict's front costs a scan over what was dropped before.
            self._ids = dict.fromkeys(list(self._ids)[self._limit // 2 + 1 :])

    def discard(self, message_ids: Iterable[bytes]) -> None:
        """Forget ids that are not finished after all."""
        for message_id in message_ids:
            self._ids.pop(message_id, None)
