"""What hedgerow consume prints for each kind of message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from rich.cells import cell_len

from schemas import TOPICS, Message
from schemas.headers import FORGOTTEN_BY_HEADER
from streams.cli.message_lines import Line, line_of, line_of_record, shown, time_of
from tests.support.messages import (
    alert,
    classification,
    dead_letter,
    escalation,
    example,
    probe,
    review,
    routed,
    ticket,
    unscorable,
    verdict,
    worker_state,
)

LONG = "Where is it? " * 100

#: Every kind of message, and what its line must say in this order.
MESSAGES: list[tuple[Message, Sequence[str]]] = [
    (ticket(), ("t-1", "Where is my money?")),
    (ticket(label="refund"), ("t-1", "gold label refund", "Where is my money?")),
    (classification(), ("t-1", "refund", "by cheap", "confidence 0.90", "$0.000016")),
    (classification(unscorable(label="refund")), ("t-1", "refund", "by cheap", "no signal (logprobs_null)")),
    (classification(unscorable()), ("t-1", "no label", "by cheap", "no signal (logprobs_null)")),
    (escalation(), ("t-1", "refund", "by cheap", "confidence 0.90", "$0.000016", "escalated", "low_confidence")),
    (escalation().model_copy(update={"call": None}), ("t-1", "cheap not asked", "escalated", "low_confidence")),
    (routed(), ("t-1", "refund", "by cheap", "confidence 0.90", "$0.000016")),
    (routed(decided_by="human", confidence=None), ("t-1", "refund", "by human", "$0.000016")),
    (review(), ("t-1", "suggested refund", "1.30 nats", "$0.000032", "big:high_entropy")),
    (review(suggested=None), ("t-1", "no suggestion", "1.30 nats")),
    (verdict(decided_by="ada", note="clear"), ("t-1", "by ada", "clear")),
    (dead_letter(), ("tickets/", "by classify")),
    (probe(), ("k = ", "likeliest", "$0.")),
    (probe(logprobs=None, error="http_500"), ("no logprobs", "http_500")),
    (example(), ("t-1", "refund", "from a file", "by ada", "Where is my money?")),
    (example(label=None), ("t-1", "none of the labels")),
    (worker_state(), ("host-1a2b3c", "$0.001500 within the hour", "leases $0.000250", "0 escalations")),
    (worker_state(stopped=True), ("host-1a2b3c", "stopped")),
    (alert(), (alert().source, alert().kind, alert().summary)),
]


@dataclass
class Record:
    """What the consumer hands over."""

    topic: str
    value: bytes | None
    timestamp: int | None = 1_700_000_000_123
    partition: int = 1
    offset: int = 42
    headers: tuple[tuple[str, bytes], ...] = ()
    key: bytes = b"t-1"


@pytest.mark.parametrize(("message", "words"), MESSAGES)
def test_each_kind_of_message_has_its_line(message: Message, words: Sequence[str]) -> None:
    line = shown(line_of(message), 160)
    places = [line.index(word) for word in words]
    assert places == sorted(places)
    assert len(line.splitlines()) == 1


def test_every_topic_has_a_line() -> None:
    assert {type(message) for message, _ in MESSAGES} == {topic.message for topic in TOPICS.values()}


@pytest.mark.parametrize("width", [40, 80, 160, 200])
def test_only_free_text_is_cut(width: int) -> None:
    line = shown(line_of(ticket("t-" + "7" * 12, LONG)), width)
    assert "t-" + "7" * 12 in line
    assert line.endswith("…")
    assert cell_len(line) <= width
    assert shown(line_of(routed("顧客" * 50)), width).startswith("顧客" * 50 + "  refund  by cheap")


def test_reasons_without_room_go_on_below_and_stay_whole() -> None:
    reasons = ("cheap:low_confidence", "cheap:high_entropy", "big:low_confidence", "big:tiers_disagree")
    message = review(reasons=reasons)
    assert shown(line_of(message), 200).endswith("  " + ", ".join(reasons))
    lines = shown(line_of(message), 80).splitlines()
    assert len(lines) > 1
    assert max(map(cell_len, lines)) <= 80
    assert all(line.startswith("    ") for line in lines[1:])
    assert " ".join(" ".join(lines).split()).endswith(" " + ", ".join(reasons))


def test_what_a_terminal_obeys_is_left_out_of_ids_too() -> None:
    assert shown(Line(("a\x1b[2J\nb",), "c\r\nd\x07"), 80) == "a\ufffd[2J b  c d\ufffd"


def test_a_time_is_in_utc_and_a_missing_one_is_a_dash() -> None:
    assert time_of(1_700_000_000_123) == "2023-11-14 22:13:20Z"
    assert time_of(None) == time_of(-1) == "-"


def test_a_record_has_its_time_first() -> None:
    line = line_of_record(Record("p.routed", routed().encode()), "p.", 160)
    assert line == "2023-11-14 22:13:20Z  t-1  refund  by cheap  confidence 0.90  $0.000016"


def test_an_example_that_is_forgotten_says_by_whom() -> None:
    record = Record("p.memory", None, headers=((FORGOTTEN_BY_HEADER, b"ada"),))
    assert line_of_record(record, "p.", 160) == "2023-11-14 22:13:20Z  t-1  forgotten by ada"
    assert line_of_record(Record("p.memory", None), "p.", 160).endswith("  t-1  forgotten")


@pytest.mark.parametrize("value", [b"no JSON \xff\x1b[31m", b"{}", None])
def test_a_record_that_is_no_valid_message_says_where_it_is(value: bytes | None) -> None:
    line = line_of_record(Record("p.tickets", value), "p.", 80)
    assert line.startswith("2023-11-14 22:13:20Z  tickets/1/42  invalid message")
    assert "\x1b" not in line
