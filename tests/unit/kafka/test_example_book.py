"""The memory as its topic's records say: the latest of a key counts, compacted or not."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.kafka.example_book import ExampleBook
from tests.support.messages import example


@dataclass(frozen=True)
class Record:
    key: bytes | None
    value: bytes | None


def book_of(*records: Record) -> ExampleBook:
    book = ExampleBook()
    for record in records:
        book.add(record)
    return book


def put(example_id: str, label: str = "refund") -> Record:
    return Record(example_id.encode(), example(example_id, label=label).encode())


def labels(book: ExampleBook) -> dict[str, str | None]:
    return {each.example_id: each.label for each in book.examples}


def test_the_latest_record_counts_and_one_without_a_value_forgets() -> None:
    book = book_of(put("a"), put("b"), put("a", "account"), Record(b"b", None), Record(b"c", None))
    assert labels(book) == {"a": "account"}
    assert book.invalid == 0


def test_what_is_no_example_leaves_nothing_of_what_its_key_said() -> None:
    """A broker that compacts would have deleted what was before it."""
    broken = Record(b"a", b"{}")
    assert labels(book_of(put("a"), put("b"), broken)) == {"b": "refund"}
    assert book_of(put("a"), broken, broken, Record(None, b"no JSON")).invalid == 2
    mended = book_of(broken, put("a"))
    assert (labels(mended), mended.invalid) == ({"a": "refund"}, 0)
    assert book_of(broken, Record(b"a", None)).invalid == 0


def test_an_example_under_another_key_is_none() -> None:
    book = book_of(put("a"), Record(b"b", example("a", label="account").encode()))
    assert (labels(book), book.invalid) == ({"a": "refund"}, 1)


records = st.sampled_from([put("a"), put("a", "account"), put("b"), Record(b"a", None), Record(b"b", b"broken")])


@given(st.lists(records, max_size=12), st.integers(0, 12), st.booleans())
@settings(deadline=None, derandomize=True)
def test_compaction_changes_nothing(log: list[Record], clean: int, tombstones: bool) -> None:
    """Of the clean part of a log the broker keeps the latest record of each key, and of tombstones not even that for long."""
    latest = {record.key: record for record in log[:clean]}
    kept = [record for record in latest.values() if record.value is not None or tombstones]
    assert labels(book_of(*kept, *log[clean:])) == labels(book_of(*log))
