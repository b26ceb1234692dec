"""Which letters are open: the latest record of an origin counts, and a letter that comes again as it was opens none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from schemas import DeadLetter
from schemas.headers import Closing, ClosingState, Header
from streams.kafka.letter_book import PREVIEW_BYTES, LetterBook
from tests.support.messages import dead_letter

ORIGIN = "tickets/3/17"


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes | None
    headers: Sequence[Header] = ()
    partition: int = 0


def record(at: int, state: ClosingState | None = None, **changes: Any) -> Record:
    headers = [] if state is None else [Closing(state=state, by="ada", at_ms=at, run=1).header()]
    return Record(at, dead_letter(**changes).encode(), headers)


def book_of(*records: Record) -> LetterBook:
    book = LetterBook("")
    for each in records:
        book.add(each)
    return book


def state(*records: Record) -> str:
    entry = book_of(*records).get(ORIGIN)
    assert entry is not None
    return entry.state


def test_the_latest_record_of_an_origin_counts() -> None:
    assert state(record(0)) == "open"
    assert state(record(0), record(1, "redriving")) == "redriving"
    assert state(record(0), record(1, "redriving"), record(2, "redriven")) == "redriven"
    assert state(record(0), record(1, "redriving"), record(2, "discarded")) == "discarded"


def test_a_letter_that_comes_again_as_it_was_opens_none() -> None:
    again = record(2, attempts=4, at_ms=9, detail="other words")
    assert state(record(0), record(1, "redriven"), again) == "redriven"
    assert state(record(0), record(1, "redriving"), again) == "redriving"


def test_another_message_at_the_same_origin_is_another_letter() -> None:
    """A topic that was made again begins its offsets again."""
    assert state(record(0), record(1, "redriven"), record(2, original=b"new", original_size=3)) == "open"
    assert state(record(0), record(1, "redriven"), record(2, key=b"new", key_size=3)) == "open"


def test_what_is_no_letter_is_left_out() -> None:
    assert book_of(Record(0, None), Record(1, b"open"), Record(2, b"{}")).choose(closed=True) == []


def test_a_letter_is_found_by_its_origin_and_its_id_and_only_its_beginning_is_kept() -> None:
    book = book_of(record(0), record(4, original=b"x" * 5_000, original_size=5_000))
    entry = book.get("letter-1")
    assert entry is book.get(ORIGIN)
    assert entry is not None
    assert (entry.place, len(entry.letter.original), entry.letter.original_size) == ((0, 4), PREVIEW_BYTES, 5_000)
    assert book.get("tickets/3/18") is None


def test_choosing() -> None:
    book = book_of(
        record(0, offset=1, at_ms=30),
        record(1, offset=2, at_ms=10, reason="wrong_schema"),
        record(2, offset=3, at_ms=20, topic="reviews"),
        record(3, "discarded", offset=4, at_ms=40),
        record(4, "redriving", offset=5, at_ms=50),
    )

    def chosen(**filters: Any) -> list[int]:
        return [entry.letter.offset for entry in book.choose(**filters)]

    assert chosen() == [2, 3, 1, 5]
    assert chosen(closed=True) == [2, 3, 1, 4, 5]
    assert chosen(reasons=["wrong_schema", "none"]) == [2]
    assert chosen(topics=["reviews"]) == [3]
    assert chosen(since_ms=30) == [1, 5]
    assert chosen(reasons=["not_json"], topics=["tickets"], since_ms=31) == [5]


@given(st.lists(st.sampled_from(["letter", "redriving", "redriven", "discarded"]), min_size=1, max_size=8))
def test_a_letter_is_closed_exactly_if_its_last_closing_says_so(order: list[str]) -> None:
    records = [record(at, None if each == "letter" else each) for at, each in enumerate(order)]  # type: ignore[arg-type]
    closings = [each for each in order if each != "letter"]
    assert state(*records) == (closings[-1] if closings else "open")


class TestALetterIsWhole:
    def test_unless_value_or_key_was_cut(self) -> None:
        assert dead_letter().is_whole
        assert dead_letter(key=None, key_size=None).is_whole
        assert not dead_letter(original_size=257).is_whole
        assert not dead_letter(key_size=3).is_whole
        assert dead_letter(original=b"", original_size=0, tombstone=True).is_whole

    def test_or_is_from_before_and_cannot_tell(self) -> None:
        before = {"key_size": None, "tombstone": None}
        assert dead_letter(**before).is_whole
        assert not dead_letter(**before, key=b"k" * 1024).is_whole
        assert not DeadLetter.model_validate(dead_letter(**before, original=b"", original_size=0).model_dump()).is_whole
