"""The two ways of step 10: offsets alone, at least once, or offsets and outputs in one transaction, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from faust.types import TP

from streams.delivery.dispatch import Dispatch
from streams.delivery.faust_consumer import LoopConsumer
from streams.delivery.ledger import Commit
from streams.delivery.stage import Limits
from streams.delivery.transactions import Member, Transactions
from streams.kafka.outbox import TransactionLost

_LONGEST_TRANSACTION_S = 0.2
#: What was finished since the last commit is done again after a kill, and a call to a model is dearer than a commit.
_AFTER_CALLS_S = 0.1
#: Says which ledgers have moved since their last commit, and where to.
Moved = Callable[[], Mapping[TP, Commit]]


class Committing(Protocol):
    """What the driver asks of either way."""

    def interval_s(self, asked_s: float) -> float:
        """Return how long after one commit the next one is made, if that much is asked for."""

    async def begin(self, consumer: LoopConsumer) -> None:
        """An assignment begins: called before its commits are read back."""

    async def commit(self, consumer: LoopConsumer, moved: Moved) -> Mapping[TP, Commit]:
        """Commit what has moved and return it, or nothing if that is left to the next commit.

        Raises TransactionLost if outputs were lost: the assignment has to begin again.
        """

    def leave(self) -> None:
        """The last commit of an assignment was made, or tried."""


class AtLeastOnce:
    """Commits offsets through the consumer; what was sent stays, whatever becomes of the commit.

    ``calls`` says that the stage calls out, to models maybe.
    """

    def __init__(self, limits: Limits, *, calls: bool = False) -> None:
        self._limits = limits
        self._calls = calls

    def interval_s(self, asked_s: float) -> float:
        """Return what is asked for, since nothing waits for a commit; a tenth of a second at most after calls."""
        return min(asked_s, _AFTER_CALLS_S) if self._calls else asked_s

    async def begin(self, consumer: LoopConsumer) -> None:
        """Nothing is open."""

    async def commit(self, consumer: LoopConsumer, moved: Moved) -> Mapping[TP, Commit]:
        """Commit the offsets."""
        commits = moved()
        if commits and await consumer.commit_ledgers(commits, self._limits.commit_wait_s):
            return commits
        return {}

    def leave(self) -> None:
        """Nothing is open."""


class ExactlyOnce:
    """Commits offsets and outputs in one transaction (``docs/exactly-once.md`` has the same letters, and each has a test).

    a. *hold*: nothing goes out, and what is on its way is acknowledged.
    b. *offsets*: the ledgers' offsets with metadata go into the transaction, in the name of the assignment's generation.
    c. *commit*: the transaction is committed; what went out is final.
    d. *begin*: the next transaction is open, and outputs go out again.
    e. *lose*: whatever fails in b or c, and what is still on its way when partitions are revoked, gives the transaction up.
    f. *begin again*: a producer under the same id has the broker decide the lost transaction. What it did not commit
       goes out again.
    """

    def __init__(self, transactions: Transactions, dispatch: Dispatch, limits: Limits) -> None:
        self._transactions = transactions
        self._dispatch = dispatch
        self._limits = limits
        self._member: Member | None = None

    def interval_s(self, asked_s: float) -> float:
        """Return a fifth of a second at most: every output waits for the next commit."""
        return min(asked_s, _LONGEST_TRANSACTION_S)

    async def begin(self, consumer: LoopConsumer) -> None:
        """Step f: decide the last transaction, if it was lost, and note for which generation the next ones are."""
        await self._transactions.begin()
        self._member = consumer.member()

    async def commit(self, consumer: LoopConsumer, moved: Moved) -> Mapping[TP, Commit]:
        """Steps a to e."""
        del consumer
        dispatch = self._dispatch
        try:
            self._transactions.producer()
            if not await dispatch.hold(self._limits.gate_wait_s):
                return {}  # a broker is unavailable; the next commit covers it
            commits = moved()
            if commits or dispatch.undecided:
                assert self._member is not None, "nothing is finished before an assignment"
                by_place = {(tp.topic, tp.partition): commit for tp, commit in commits.items()}
                await self._transactions.commit(self._member, by_place, self._limits.commit_wait_s)
                dispatch.settle()
        except TransactionLost:
            dispatch.void()
            raise
        else:
            return commits
        finally:
            dispatch.release()

    def leave(self) -> None:
        """Step e for what the last commit left open: its offsets could not be committed by this worker any more."""
        if self._dispatch.undecided:
            self._transactions.lose()
            self._dispatch.void()
