"""The ledger against a naive model: whatever happens, in whatever order, nothing unfinished is ever committed over."""

from __future__ import annotations

import base64
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.delivery.ledger import MAX_SPAN, METADATA_LIMIT, Commit, Ledger, decode_finished, encode_finished

#: The first offset of a log: small, and as large as Kafka allows.
STARTS = st.integers(0, 50) | st.integers(2**62, 2**63 - 10**7)
OFFSETS = st.sets(st.integers(0, 400), max_size=200)

settings.register_profile("ledger", derandomize=True, deadline=None, max_examples=150, stateful_step_count=60)
quick = settings(settings.get_profile("ledger"))


class OnePartition(RuleBasedStateMachine):
    """A partition's life over many assignments: the ledger under test beside plain sets that forget nothing.

    ``done`` holds every offset whose outputs reached the broker, in any life; ``known`` those of them that the present
    life was told of. What is stored is what the broker would keep of the last commit.
    """

    @initialize(
        start=STARTS,
        gaps=st.lists(st.integers(1, 4), min_size=1, max_size=120),
        keeps_metadata=st.booleans(),
        limit=st.sampled_from([METADATA_LIMIT, 40, 25, 0]),
    )
    def create_log(self, start: int, gaps: list[int], keeps_metadata: bool, limit: int) -> None:
        self.log = [start + sum(gaps[:index]) for index in range(len(gaps))]
        self.keeps_metadata = keeps_metadata
        self.limit = limit
        self.stored: Commit | None = None
        self.done: set[int] = set()
        self.late: set[int] = set()
        self.ledger = Ledger()
        self.begin_life(set())

    def begin_life(self, known: set[int]) -> None:
        self.known = known
        self.open: set[int] = set()
        self.read_up_to: int | None = None if self.stored is None else self.stored.offset

    def expected_low(self) -> int | None:
        if self.read_up_to is None:
            return None
        base = self.log[0] if self.stored_at_birth is None else self.stored_at_birth
        unfinished = [o for o in self.log if base <= o < self.read_up_to and o not in self.known]
        return unfinished[0] if unfinished else self.read_up_to

    @property
    def stored_at_birth(self) -> int | None:
        return self.born_at if hasattr(self, "born_at") else None

    @rule(size=st.integers(1, 30))
    def fetch(self, size: int) -> None:
        position = self.ledger.position
        assert position == self.read_up_to
        batch = [o for o in self.log if position is None or o >= position][:size]
        self.take(batch)

    @precondition(lambda self: self.ledger.low is not None)
    @rule(size=st.integers(1, 30), data=st.data())
    def fetch_again_after_a_rewind(self, size: int, data: st.DataObject) -> None:
        low = self.ledger.low
        assert low is not None
        readable = [o for o in self.log if o >= low]
        if readable:
            first = data.draw(st.integers(0, len(readable) - 1))
            if readable[first] <= (self.ledger.position or 0):
                self.take(readable[first : first + size])

    def take(self, batch: list[int]) -> None:
        fresh = self.ledger.take(batch)
        assert fresh == [o for o in batch if o not in self.known and o not in self.open]
        self.open.update(fresh)
        if batch:
            self.read_up_to = max(self.read_up_to or 0, batch[-1] + 1)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def finish_any(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(sorted(self.open))))

    @precondition(lambda self: self.open)
    @rule()
    def finish_all_but_the_first(self) -> None:
        for offset in sorted(self.open)[1:]:
            self.finish(offset)

    @precondition(lambda self: self.late)
    @rule(data=st.data())
    def finish_one_from_an_earlier_life(self, data: st.DataObject) -> None:
        """A task that was in progress when the partition went away and came back."""
        offset = data.draw(st.sampled_from(sorted(self.late)))
        self.late.discard(offset)
        unread = self.read_up_to is None or offset >= self.read_up_to
        counts = offset in self.open or (unread and offset not in self.known)
        assert self.ledger.may_finish(offset) == counts
        if counts:
            self.finish(offset)
        else:
            before = self.ledger.commit()
            self.ledger.finish(offset)
            assert self.ledger.commit() == before

    def finish(self, offset: int) -> None:
        assert self.ledger.may_finish(offset)
        self.ledger.finish(offset)
        assert not self.ledger.may_finish(offset)
        self.ledger.finish(offset)
        self.done.add(offset)
        self.known.add(offset)
        self.open.discard(offset)

    @rule()
    def commit(self) -> None:
        commit = self.ledger.commit(self.limit)
        if commit is None:
            assert self.read_up_to is None
            return
        assert commit.offset == self.expected_low()
        assert len(commit.metadata) <= self.limit
        ahead = {o for o in self.known if o >= commit.offset}
        decoded = decode_finished(commit.offset, commit.metadata)
        assert decoded <= ahead
        if self.limit == METADATA_LIMIT:
            assert decoded == ahead
        self.stored = Commit(commit.offset, commit.metadata if self.keeps_metadata else "")

    @rule(stale_tasks_survive=st.booleans())
    def lose_the_partition_and_get_it_back(self, stale_tasks_survive: bool) -> None:
        """A kill (no task survives), or a revocation and a new assignment in one process (what is in progress goes on)."""
        self.late = self.late | self.open if stale_tasks_survive else set()
        if self.stored is None:
            self.ledger = Ledger.restore(None, "")
            self.born_at = self.log[0]
            self.begin_life(set())
            return
        self.ledger = Ledger.restore(self.stored.offset, self.stored.metadata)
        self.born_at = self.stored.offset
        remembered = set(decode_finished(self.stored.offset, self.stored.metadata))
        assert remembered <= self.done
        self.begin_life({o for o in self.log if o < self.stored.offset} | remembered)

    @invariant()
    def nothing_unfinished_lies_before_low(self) -> None:
        low = self.ledger.low
        if low is not None:
            assert {o for o in self.log if o < low} <= self.done
        assert low == self.expected_low()
        assert self.ledger.unfinished == len(self.open)
        assert self.ledger.span == (0 if low is None else (self.read_up_to or 0) - low)

    def teardown(self) -> None:
        """Whatever happened before, reading on and finishing everything ends at the end of the log."""
        if not hasattr(self, "log"):
            return
        self.take([o for o in self.log if self.read_up_to is None or o >= self.read_up_to])
        for offset in sorted(self.open, reverse=True):
            self.finish(offset)
        assert set(self.log) <= self.done
        assert self.ledger.commit() == Commit(self.log[-1] + 1, "")


TestOnePartition = OnePartition.TestCase
TestOnePartition.settings = quick


@quick
@given(low=STARTS, ahead=OFFSETS, limit=st.integers(0, METADATA_LIMIT))
def test_encoding_only_ever_drops_marks(low: int, ahead: set[int], limit: int) -> None:
    finished = {low + distance for distance in ahead}
    text = encode_finished(low, finished, limit)
    assert len(text) <= limit
    assert text.isascii()
    kept = decode_finished(low, text)
    assert kept <= finished
    assert not kept or max(kept) < min(finished - kept, default=2**64)  # the farthest go first


@quick
@given(low=STARTS, ahead=OFFSETS)
def test_encoding_is_complete_where_it_fits(low: int, ahead: set[int]) -> None:
    finished = {low + distance for distance in ahead}
    assert decode_finished(low, encode_finished(low, finished)) == finished


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9, 0.999])
def test_a_full_span_fits_whatever_its_pattern(share: float) -> None:
    chance = random.Random(3)
    low = 2**63 - 10**6
    finished = {low + distance for distance in range(MAX_SPAN) if chance.random() < share}
    text = encode_finished(low, finished)
    assert len(text) <= METADATA_LIMIT
    assert decode_finished(low, text) == finished


def test_a_bitmap_over_the_limit_keeps_the_nearest_marks() -> None:
    chance = random.Random(5)
    finished = {distance for distance in range(60_000) if chance.random() < 0.5}
    text = encode_finished(0, finished)
    kept = decode_finished(0, text)
    assert METADATA_LIMIT * 0.75 < len(text) <= METADATA_LIMIT
    assert len(kept) > MAX_SPAN // 3
    farthest = max(kept)
    assert kept == {offset for offset in finished if offset <= farthest}


@pytest.mark.parametrize("far", [2**31, 2**62])
def test_a_gap_as_wide_as_the_log_costs_no_memory(far: int) -> None:
    ledger = Ledger(0)
    ledger.take([0, 1, far])
    ledger.finish(1)
    ledger.finish(far)
    tracemalloc.start()
    try:
        commit = ledger.commit()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert commit is not None
    assert commit.offset == 0
    assert decode_finished(0, commit.metadata) == {1}
    assert peak < 1_000_000


@quick
@given(low=STARTS, text=st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_hostile_metadata_never_raises(low: int, text: str) -> None:
    for metadata in (text, f"h1:{low}:{text}", f"h1:{low}", f"h1:{text}:{low}"):
        assert all(offset >= low for offset in decode_finished(low, metadata))


@quick
@given(low=STARTS, packed=st.binary(max_size=300), kind=st.sampled_from([b"z", b"r", b"", b"?"]))
def test_hostile_bytes_inside_the_encoding_never_raise(low: int, packed: bytes, kind: bytes) -> None:
    for data in (kind + packed, kind + zlib.compress(packed), kind + zlib.compress(packed)[:-3]):
        metadata = f"h1:{low}:{base64.b85encode(data).decode('ascii')}"
        assert all(offset >= low for offset in decode_finished(low, metadata))


@pytest.mark.parametrize(
    "data",
    [
        b"z" + zlib.compress(b"\xff" * 2_000_000, 9),  # as much as fits the limit
        b"z" + zlib.compress(b"\xff" * 50_000_000, 9),
        b"r" + b"\xff" * 2_000_000,
    ],
    ids=["zipped", "zipped, too long", "raw, too long"],
)
def test_a_bomb_unpacks_to_bounded_memory(data: bytes) -> None:
    metadata = f"h1:7:{base64.b85encode(data).decode('ascii')}"
    tracemalloc.start()
    try:
        finished = decode_finished(7, metadata)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(finished) == (8 * MAX_SPAN if len(metadata) <= METADATA_LIMIT else 0)
    assert peak < 20_000_000


@quick
@given(low=STARTS, ahead=OFFSETS, other=STARTS)
def test_metadata_of_another_offset_says_nothing(low: int, ahead: set[int], other: int) -> None:
    text = encode_finished(low, {low + distance for distance in ahead})
    assert low == other or decode_finished(other, text) == frozenset()


@quick
@given(size=st.integers(1, 50), reset_to=st.integers(0, 99), open_ones=st.sets(st.integers(0, 49)))
def test_a_log_that_was_reset_begins_a_new_ledger(size: int, reset_to: int, open_ones: set[int]) -> None:
    ledger = Ledger(100, {120, 130})
    ledger.take(range(100, 150))
    for offset in range(100, 150):
        if offset - 100 not in open_ones:
            ledger.finish(offset)
    again = range(reset_to, reset_to + size)
    assert ledger.is_reset_by(again[0])
    assert ledger.take(again) == list(again)
    assert ledger.unfinished == size
    assert ledger.commit() == Commit(reset_to, "")


def test_a_restored_ledger_commits_what_was_restored() -> None:
    stored = Commit(10, encode_finished(10, {12, 15}))
    assert Ledger.restore(stored.offset, stored.metadata).commit() == stored


def test_nothing_taken_and_nothing_committed_commits_nothing() -> None:
    ledger = Ledger()
    assert ledger.take([]) == []
    assert ledger.commit() is None
    assert ledger.position is None
    assert ledger.span == 0


def test_a_compacted_away_offset_does_not_hold_low() -> None:
    ledger = Ledger(10, {11})
    assert ledger.take([14, 15]) == [14, 15]
    ledger.finish(14)
    ledger.finish(15)
    assert ledger.commit() == Commit(16, "")
