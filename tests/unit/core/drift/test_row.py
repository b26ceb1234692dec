"""What a probe row is read as, and the name of every reason why it is no sample."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from streams.core.drift.row import MAX_TOKENS, ProbeFacts, ProbeRow, Reason, Unusable, read_row
from tests.support.messages import probe


def row(logprobs: Any, **fields: Any) -> dict[str, Any]:
    return {"endpoint": "e", "at": 1, "logprobs": logprobs, "error": None, **fields}


def usable(raw: object) -> ProbeRow:
    read = read_row(raw)
    assert isinstance(read, ProbeRow), read
    return read


def test_tokens_come_likeliest_first_whatever_their_order() -> None:
    read = usable(row({"b": -2.0, "a": -1.0, "c": -2.0}, model="m-1", fingerprint="fp"))
    assert read.tokens == ("a", "b", "c")
    assert read.logprobs == (-1.0, -2.0, -2.0)
    assert (read.k, read.facts.at, read.facts.time, read.model, read.fingerprint) == (3, 1, 1.0, "m-1", "fp")
    assert read == usable(row({"c": -2.0, "b": -2.0, "a": -1.0}, model="m-1", fingerprint="fp"))


def test_floors_are_left_out() -> None:
    assert usable(row({"a": -0.5, "b": -9999.0, "c": -math.inf, "d": -100, "e": -(10**400)})).tokens == ("a",)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (row({"a": -1.0}, error="timeout"), Reason.ERROR),
        (row({"a": math.nan}, error={"code": 500}), Reason.ERROR),
        (row(None), Reason.MISSING),
        ({"endpoint": "e", "at": 1}, Reason.MISSING),
        (row({}), Reason.EMPTY),
        (row({"a": -9999.0}), Reason.EMPTY),
        (row([["a", -1.0]]), Reason.MALFORMED),
        (row({"a": "-1.0"}), Reason.MALFORMED),
        (row({"a": None}), Reason.MALFORMED),
        (row({"a": False}), Reason.MALFORMED),
        (row({1: -1.0}), Reason.MALFORMED),
        ([], Reason.MALFORMED),
        (None, Reason.MALFORMED),
        (row({"a": math.nan, "b": -1.0}), Reason.NOT_FINITE),
        (row({"a": math.inf}), Reason.NOT_FINITE),
        (row({"a": 10**400}), Reason.NOT_FINITE),
        (row({"a": 0.7, "b": -1.0}), Reason.POSITIVE),
        (row({f"t{n}": -9.0 for n in range(MAX_TOKENS + 1)}), Reason.TOO_MANY_TOKENS),
    ],
)
def test_what_is_no_sample_says_why(raw: object, reason: Reason) -> None:
    read = read_row(raw)
    assert isinstance(read, Unusable)
    assert read.reason is reason


def test_a_certain_token_may_round_just_above_zero() -> None:
    assert usable(row({"a": 1e-7, "b": -18.0})).k == 2


@pytest.mark.parametrize("floors", [{}, {"b": -9999.0, "c": -100.0}])
def test_a_lone_token_that_is_certain_says_nothing(floors: dict[str, float]) -> None:
    for certain in (0.0, -1e-7, math.log(0.9999)):
        read = read_row(row({"a": certain, **floors}))
        assert isinstance(read, Unusable)
        assert read.reason is Reason.ONE_HOT
    assert usable(row({"a": math.log(0.97), **floors})).k == 1, "one that was not certain is a sample"


@pytest.mark.parametrize("nothing", [None, "", False, 0, [], {}])
def test_an_empty_error_is_none(nothing: object) -> None:
    assert usable(row({"a": -1.0}, error=nothing)).k == 1


@pytest.mark.parametrize(
    ("at", "kept", "time"),
    [
        (1.5, 1.5, 1.5),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456_789, 1.7000000001234568e18),
        ("1970-01-01T00:01:00Z", "1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T00:01:00", "1970-01-01T00:01:00", 60.0),
        ("1970-01-01T01:01:00+01:00", "1970-01-01T01:01:00+01:00", 60.0),
        ("yesterday", "yesterday", None),
        (None, None, None),
        (math.nan, None, None),
        (10**400, None, None),
        (True, None, None),
        ({}, None, None),
    ],
)
def test_a_time_is_kept_as_written_and_made_comparable_where_it_can_be(at: object, kept: object, time: object) -> None:
    read = usable(row({"a": -1.0}, at=at))
    assert (read.facts.at, read.facts.time) == (kept, time)


def test_an_unusable_row_keeps_its_time() -> None:
    read = read_row(row(None, at="1970-01-01T00:01:00Z"))
    assert read == Unusable(Reason.MISSING, ProbeFacts("e", "1970-01-01T00:01:00Z", 60.0))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"endpoint": "e", "provider": "p", "cost_usd": 2e-6}, ProbeFacts("e", 1, 1.0, "p", 2e-6)),
        ({"endpoint": 5, "provider": 3, "cost_usd": "much"}, ProbeFacts(None, 1, 1.0)),
        ({"endpoint": "", "provider": "", "cost_usd": -1}, ProbeFacts("", 1, 1.0)),
        ({"endpoint": None, "cost_usd": math.inf}, ProbeFacts(None, 1, 1.0)),
        ({"endpoint": [], "cost_usd": math.nan}, ProbeFacts(None, 1, 1.0)),
        ({"endpoint": "e", "probe_id": "p", "model_asked": "m"}, ProbeFacts("e", 1, 1.0)),
    ],
)
def test_what_is_known_of_a_probe_is_kept_in_either_case(given: dict[str, Any], kept: ProbeFacts) -> None:
    assert usable(row({"a": -1.0}, **given)).facts == kept
    assert read_row(row(None, **given)) == Unusable(Reason.MISSING, kept)


def test_no_value_of_a_message_stops_the_reading() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    fields = (
        "endpoint",
        "at_ms",
        "logprobs",
        "model_asked",
        "prompt",
        "k_asked",
        "temperature",
        "probe_id",
        "provider",
    )
    assert isinstance(read_row({"at_ms": 1} | dict.fromkeys(fields, deep)), Unusable)


@pytest.mark.parametrize(
    "fields",
    [
        {"model_returned": "m-1", "fingerprint": "fp", "cost_usd": 2e-6},
        {"logprobs": None},
        {"logprobs": {"a": -0.5}, "error": "timeout"},
        {"logprobs": {"a": 0.0}},
        {"at_ms": 2**63 - 1},
    ],
)
def test_a_message_is_the_same_row_from_the_topic_and_from_a_file(fields: dict[str, Any]) -> None:
    message = probe(**fields)
    stored = json.loads(message.encode())
    assert ProbeRow.of(message) == read_row(stored)
    assert read_row(stored | {"at": 5}).facts.at == 5, "a row's own time counts first"
