"""A dead letter keeps bytes, origin and reason, and can always be sent."""

from __future__ import annotations

import base64
import json

import pytest
from structlog.testing import capture_logs

from schemas import DeadLetter
from streams.delivery.dead_letters import CUT_TO, dead_letter, shortened
from streams.errors import GiveUp
from tests.support.records import Bench, FakeRecord, answer, record


def letter_of(value: bytes | None, key: bytes | None = b"k", error: BaseException | None = None) -> DeadLetter:
    return dead_letter(
        FakeRecord(12, value, key, partition=3),
        agent="classify",
        reason="not_json",
        error=error or GiveUp("expected value", reason="not_json"),
        attempts=2,
        at_ms=99,
    )


def test_keeps_bytes_origin_and_reason() -> None:
    letter = letter_of(b"\x00\xffnonsense")
    assert letter.original == b"\x00\xffnonsense"
    assert letter.original_size == 10
    assert (letter.key, letter.origin, letter.agent, letter.reason) == (b"k", "tickets/3/12", "classify", "not_json")
    assert (letter.error_class, letter.detail, letter.attempts, letter.at_ms) == ("GiveUp", "expected value", 2, 99)


def test_a_missing_value_and_a_missing_key() -> None:
    letter = letter_of(None, None)
    assert (letter.original, letter.original_size, letter.key, letter.key_size) == (b"", 0, None, None)


def test_no_value_and_an_empty_one_are_told_apart() -> None:
    assert (letter_of(None).tombstone, letter_of(b"").tombstone, letter_of(b"x").tombstone) == (True, False, False)


def test_a_letter_from_before_says_that_it_does_not_know() -> None:
    row = json.loads(letter_of(b"", b"k").encode())
    del row["tombstone"], row["key_size"]
    letter = DeadLetter.decode(json.dumps(row).encode())
    assert (letter.tombstone, letter.key_size) == (None, None)


async def test_every_letter_that_was_sent_is_a_line_in_the_log() -> None:
    bench = Bench(answer)
    with capture_logs() as lines:
        await bench.run([FakeRecord(7, b"my card is 4000", b"k"), record(8)])
    assert lines == [
        {
            "event": "dead letter",
            "log_level": "error",
            "agent": "test",
            "topic": "tickets",
            "partition": 0,
            "offset": 7,
            "reason": "not_json",
            "error": "GiveUp",
        }
    ]


def test_the_id_is_the_same_at_every_redelivery_and_differs_by_place() -> None:
    assert letter_of(b"a").letter_id == letter_of(b"b").letter_id
    other = dead_letter(FakeRecord(13, b"a"), agent="a", reason="r", error=ValueError(), attempts=1, at_ms=0)
    assert other.letter_id != letter_of(b"a").letter_id


@pytest.mark.parametrize("detail", ["\ud800 alone", "ok \udfff", "x" * 10_000])
def test_any_error_text_can_be_sent(detail: str) -> None:
    letter = letter_of(b"a", error=ValueError(detail))
    assert len(letter.detail) <= 2_000
    assert DeadLetter.decode(letter.encode()) == letter


@pytest.mark.parametrize("value", [b"", b"\x00", bytes(range(256)), "\ud800".encode("utf-8", "surrogatepass")])
def test_the_bytes_survive_the_wire(value: bytes) -> None:
    letter = letter_of(value, key=value)
    assert DeadLetter.decode(letter.encode()) == letter
    assert base64.urlsafe_b64decode(json.loads(letter.encode())["original"]) == value


def test_shortened_keeps_the_beginning_and_says_how_much_there_was() -> None:
    letter = letter_of(b"x" * (2 * CUT_TO), key=b"k" * 5_000)
    short = shortened(letter)
    assert (len(short.original), short.original_size) == (CUT_TO, 2 * CUT_TO)
    assert (len(short.key or b""), short.key_size) == (1024, 5_000)
    assert (short.letter_id, short.origin) == (letter.letter_id, letter.origin)


@pytest.mark.parametrize("key", [None, b"", b"k"])
def test_shortening_a_short_letter_changes_nothing(key: bytes | None) -> None:
    letter = letter_of(b"x" * CUT_TO, key=key)
    assert shortened(letter) == letter
    assert shortened(shortened(letter)) == shortened(letter)
