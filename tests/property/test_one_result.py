"""However producing, deciding, correcting, revising and re-running interleave, everybody sees the same result of a ticket."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import (
    REVISION_HEADER,
    RUN_HEADER,
    Classification,
    Review,
    Routed,
    Turn,
    WireFormat,
    rank,
    revision_in,
    revision_of,
)
from schemas.wire import WireVersion
from streams.agents.arrival import Arrival
from streams.agents.known_tickets import KnownTickets
from streams.agents.settle import SettleHandler
from streams.cli.consume import _Winners
from streams.core.policy.policy import CheapRule, Policy
from streams.demo.account import Account, Row
from streams.reviews.decision import Decision, DecisionRefused
from streams.reviews.store import ReviewStore
from tests.support.handlers import score
from tests.support.messages import LABELS, call, scored, ticket
from tests.support.records import FakeRecord

POLICY = Policy(cheap=CheapRule(abstain_entropy=1.0))
IDS, TEXTS = ("a", "b"), ("x", "y", "z")
#: A known bound that nothing in a run of this test reaches.
LIMIT = 1_000

ids, labels, places = st.sampled_from(IDS), st.sampled_from(LABELS), st.integers(0, 99)
steps = st.lists(
    st.one_of(
        # Whatever is late waits for one of the last three steps.
        st.tuples(st.just("produce"), ids, st.sampled_from(TEXTS), st.booleans()),
        st.tuples(st.just("rerun"), ids, st.booleans()),
        st.tuples(st.just("redrive"), ids, places, st.booleans()),
        st.tuples(st.just("score"), places, st.booleans(), labels, st.booleans(), st.booleans()),
        st.tuples(st.just("decide"), ids, labels, st.booleans()),
        st.tuples(st.just("overtake"), ids, st.sampled_from(TEXTS), labels, st.booleans()),
        st.tuples(st.just("settle"), st.integers(1, 3)),
        st.tuples(st.just("restart")),
        st.tuples(st.just("classify")),
        st.tuples(st.just("store"), places),
        st.tuples(st.just("score"), places, st.booleans(), labels, st.booleans(), st.just(False)),
    ),
    min_size=8,
    max_size=40,
)


class World:
    """The topics as lists, and the parts that read and write them, none of which runs by itself."""

    def __init__(self, store: ReviewStore, wire: WireFormat) -> None:
        self.store = store
        self.wire = wire
        self.tickets: list[FakeRecord] = []
        self.classifications: list[Classification] = []
        self.reviews: list[Review] = []
        self.doubts: list[Review] = []
        """Every review that was ever on the topic."""
        self.routed: list[Routed] = []
        self.handled: dict[str, set[tuple[int, int]]] = {}
        self.wasted: list[tuple[str, int, int]] = []
        """Texts that were handled after a later one of their ticket."""
        self.scored: set[tuple[str, Turn]] = set()
        self.classified = self.settled = self.runs = 0
        self.restart()

    def restart(self) -> None:
        self.known = KnownTickets(LIMIT, self.tickets_before)
        self.settle_handler = SettleHandler(LIMIT, self.results_before)
        asyncio.run(self.known.catch_up({("tickets", 0): self.classified}))
        asyncio.run(self.settle_handler.catch_up({("routed", 0): self.settled}))

    async def tickets_before(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[FakeRecord]:
        for record in self.tickets[: before["tickets", 0]][-limit:]:
            yield record

    async def results_before(self, before: Mapping[tuple[str, int], int], limit: int) -> AsyncIterator[Routed]:
        for result in self.routed[: before["routed", 0]][-limit:]:
            yield result

    def produce(self, ticket_id: str, text: str, late: bool, headers: tuple[tuple[str, bytes], ...] = ()) -> None:
        offset = len(self.tickets)  # two in a millisecond
        self.tickets.append(
            FakeRecord(offset, ticket(ticket_id, text).encode(), timestamp=1_000 + offset // 2, headers=headers)
        )
        while not late and self.classified < len(self.tickets):
            self.classify()

    def rerun(self, ticket_id: str, late: bool) -> None:
        self.redrive(ticket_id, -1, late)

    def redrive(self, ticket_id: str, place: int, late: bool) -> None:
        """Send a text of the ticket again, which may not be the latest."""
        mine = [record for record in self.tickets if Arrival.read(record).ticket_id == ticket_id]
        if mine:
            self.runs += 1
            record = mine[place % len(mine)]
            revision = revision_in(record.headers) or revision_of(record.timestamp, record.offset)
            headers = ((RUN_HEADER, b"%d" % self.runs), (REVISION_HEADER, b"%d" % revision))
            self.produce(ticket_id, Arrival.read(record).ticket.text, late, headers)

    def classify(self) -> None:
        if self.classified == len(self.tickets):
            return
        arrival = Arrival.read(self.tickets[self.classified])
        self.classified += 1
        message_id = self.known.id_of(arrival)
        if self.known.why_known(message_id) is None:
            self.known.add(message_id)
            turn: Turn = arrival.turn
            handled = self.handled.setdefault(arrival.ticket_id, set())
            if handled and (turn.revision, turn.run) < max(handled):
                self.wasted.append((arrival.ticket_id, turn.revision, turn.run))
            handled.add((turn.revision, turn.run))
            message = Classification(ticket=arrival.ticket, call=call(), revision=turn.revision, run=turn.run)
            self.classifications.append(Classification.decode(self.wire.encode(message)))

    def answer(self, place: int, sure: bool, label: str, again: bool, late: bool) -> None:
        if not self.classifications:
            return
        place %= len(self.classifications)
        message = self.classifications[place]
        if not again:  # else it is redelivered, and maybe answered differently
            del self.classifications[place]
            done = (message.ticket_id, message.turn)
            if done in self.scored:
                return  # as score knows a message that it has finished
            self.scored.add(done)
        signal = scored(label) if sure else scored(label, confidence=0.2, entropy=1.5)
        [output] = score(POLICY)(message.model_copy(update={"call": call(signal=signal)}))
        if isinstance(output, Review):
            doubt = Review.decode(self.wire.encode(output))
            self.reviews.append(doubt)
            self.doubts.append(doubt)
            if not late:
                self.keep(-1)
        else:
            assert isinstance(output, Routed)
            self.route(output)

    def route(self, *results: Routed) -> None:
        self.routed.extend(Routed.decode(self.wire.encode(result)) for result in results)

    def keep(self, place: int) -> None:
        if self.reviews:
            self.store.add(self.reviews.pop(place % len(self.reviews)))

    def decide(self, ticket_id: str, label: str, old: bool) -> None:
        """Decide or correct; an ``old`` release numbers no decisions."""
        item = self.store.get(ticket_id)
        if item is None:
            return
        decide = self.store.decide if item.decision is None else self.store.correct
        try:
            decision: Decision = decide(item.review.review_id, label, "ann", "", 1)
        except DecisionRefused:
            return
        number = decision.routed.decision
        if not decision.sent:
            unnumbered = {"decision": 0, "corrected": False, "reviewer": None} if old and number == 1 else {}
            self.route(decision.routed.model_copy(update=unnumbered))
            self.store.mark_sent(item.review.review_id, decision.verdict.decision)

    def overtake(self, ticket_id: str, text: str, label: str, old: bool) -> None:
        """A reviewer decides a ticket before its classification comes again, whose answer the model then is sure of."""
        self.produce(ticket_id, text, late=False)
        if self.classifications:
            self.answer(len(self.classifications) - 1, False, label, again=True, late=False)
            self.decide(ticket_id, label, old)

    def settle(self, count: int) -> None:
        for _ in range(count):
            if self.settled < len(self.routed):
                message = self.routed[self.settled]
                self.settled += 1
                self.route(*self.settle_handler(message))

    def quiet(self) -> None:
        """Let everything that waits come to its end."""
        while self.classified < len(self.tickets):
            self.classify()
        for number in range(len(self.classifications)):
            self.answer(0, number % 2 == 0, LABELS[0], again=False, late=True)
        while self.reviews:
            self.keep(0)
        while self.settled < len(self.routed):
            self.settle(1)
        self.store.close_superseded(self.settle_handler.turn_of)

    def take(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        getattr(self, {"store": "keep", "score": "answer"}.get(name, name))(*arguments)


class Stores:
    """One store for all examples, since making one, and its first statements, take longer than an example."""

    def __init__(self, folder: Path, version: WireVersion) -> None:
        self.wire = WireFormat(version)
        self._store = ReviewStore(f"sqlite:///{folder / 'reviews.db'}", wire=self.wire)
        self._empty = sqlite3.connect(":memory:")
        with self._store.database.transaction() as connection:
            _sqlite(connection).backup(self._empty)

    def empty(self) -> ReviewStore:
        """Return the store with nothing in it, as it was at first."""
        with self._store.database.transaction() as connection:
            self._empty.backup(_sqlite(connection))
        return self._store

    def close(self) -> None:
        self._store.close()
        self._empty.close()


def _sqlite(connection: sa.Connection) -> sqlite3.Connection:
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


@pytest.fixture(scope="module", params=[1, 2])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """In memory where the system has such a folder: nothing here is about what outlives a crash."""
    memory = Path("/dev/shm")
    with (
        tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder,
        closing(Stores(Path(folder), request.param)) as made,
    ):
        yield made


def consumed(results: list[Routed]) -> dict[str, Routed]:
    """What ``consume routed --unique`` prints."""
    winners = _Winners("")
    for offset, result in enumerate(results):
        record = FakeRecord(offset, result.encode(), result.ticket_id.encode(), topic="routed")
        winners.take(record, result.encode().decode())  # type: ignore[arg-type]
    read = [Routed.decode(json.dumps(json.loads(line)).encode()) for line in winners.lines()]
    assert len(read) == len({result.result_id for result in read})
    return {result.ticket_id: result for result in read}


def counting(results: list[Routed]) -> dict[str, Routed]:
    """The last of those that count most, in other words than the product's."""
    kept: dict[str, Routed] = {}
    for result in sorted(results, key=lambda each: each.decision):
        for mine in [kept.get(result.ticket_id, result)]:
            order = [(each.revision, each.run, each.decided_by == "human", each.decision) for each in (mine, result)]
            kept[result.ticket_id] = result if order == sorted(order) else mine
    return kept


@given(taken=steps)
@settings(deadline=None, max_examples=250, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_consumers_compaction_and_the_review_list_agree_once_all_is_quiet(
    stores: Stores, taken: list[tuple[Any, ...]]
) -> None:
    store = stores.empty()
    world = World(store, stores.wire)
    for step in taken:
        world.take(step)
    world.quiet()

    assert world.wasted == []
    unique = consumed(world.routed)
    assert unique == counting(world.routed)
    compacted = {result.ticket_id: result for result in world.routed}
    assert unique == compacted

    account = Account([Row.read(number, record.value or b"") for number, record in enumerate(world.tickets)])
    for message in [*world.routed, *world.doubts]:
        account.see(message)
    assert {result.ticket_id: result for result in account.routed.values()} == compacted

    waiting = {item.review.ticket_id: rank(item.review)[:2] for item in store.waiting(LIMIT)}
    assert len(waiting) == len(store.waiting(LIMIT)), "one review of a ticket waits at most"
    for ticket_id, turns in world.handled.items():
        latest, result = max(turns), compacted.get(ticket_id)
        ended = None if result is None else rank(result)[:2]
        # The latest text in its latest run has a result, or waits for a reviewer; nothing earlier waits.
        assert latest in (ended, waiting.get(ticket_id))
        assert waiting.get(ticket_id) in (None, latest)
    assert account.in_review <= {f"ticket {ticket_id}" for ticket_id in waiting}
