"""What a probe keeps of an answer: the list at its first token."""

from __future__ import annotations

import math
from typing import Any

import pytest

from schemas import Reason, Unscorable
from streams.core.signal import read_answer
from streams.core.signal.first_token import ABSENT, MAX_LISTED, first_token
from tests.support.bodies import Tok, chat


def listed(*entries: tuple[Any, Any]) -> dict[str, Any]:
    """A chat body whose first token has exactly these alternatives."""
    body = chat([Tok("a", 0.5, {"b": 0.2})])
    body["choices"][0]["logprobs"]["content"][0]["top_logprobs"] = [
        {"token": token, "logprob": logprob} for token, logprob in entries
    ]
    return body


def test_the_first_token_alone_as_it_was_listed() -> None:
    body = chat([Tok("a", 0.6, {"b": 0.3, " a": 0.05}), Tok("!", 0.9, {"?": 0.1})])
    assert first_token(read_answer(body)) == pytest.approx(
        {"a": math.log(0.6), "b": math.log(0.3), " a": math.log(0.05)}
    )


def test_the_written_token_counts_only_where_it_is_listed() -> None:
    shown = first_token(read_answer(chat([Tok("a", 0.1, {"b": 0.5, "c": 0.3}, listed=False)])))
    assert isinstance(shown, dict)
    assert shown.keys() == {"b", "c"}


def test_floors_are_left_out_and_the_last_of_two_with_one_spelling_wins() -> None:
    assert first_token(read_answer(listed(("a", -0.5), ("b", -9999.0), ("c", None), ("d", -2.0), ("d", -3.0)))) == {
        "a": -0.5,
        "d": -3.0,
    }


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (listed(("a", -0.5), ("b", 0.7)), Reason.IMPOSSIBLE_LOGPROB),
        (listed(("a", -0.5), ("b", "low")), Reason.IMPOSSIBLE_LOGPROB),
        (listed(("token_id:5", -0.5), ("token_id:6", -1.0)), Reason.UNREADABLE_TOKENS),
        (listed(*((str(number), -9.0) for number in range(MAX_LISTED + 1))), Reason.UNKNOWN_SHAPE),
        (b"<html>", Reason.NOT_JSON),
        ({"error": {"message": "no"}}, Reason.ERROR_BODY),
    ],
)
def test_what_is_no_distribution_has_a_name(body: object, reason: Reason) -> None:
    found = first_token(read_answer(body))
    assert isinstance(found, Unscorable)
    assert found.reason is reason
    assert reason not in ABSENT


@pytest.mark.parametrize("logprobs", [None, {}, {"content": None}, {"content": []}])
def test_no_logprobs_are_no_error(logprobs: object) -> None:
    found = first_token(read_answer(chat([Tok("a", 0.5)], logprobs=logprobs)))
    assert isinstance(found, Unscorable)
    assert found.reason in ABSENT
