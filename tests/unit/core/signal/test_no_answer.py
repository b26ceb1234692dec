"""Answers that are none: refusals, filters, tool calls, errors, and bodies without any answer."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import Tok

LABELS = LabelSet(["refund", "billing", "shipping"])
REFUND = [Tok("refund", 0.7, {"billing": 0.2, "pizza": 0.05})]


def reason(body: object) -> Reason:
    signal = score(body, LABELS).signal
    assert isinstance(signal, Unscorable), signal
    return signal.reason


def scored(body: object) -> Scored:
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored), signal
    return signal


def test_14_a_tool_call_fails_closed() -> None:
    call = [{"id": "c", "type": "function", "function": {"name": "label", "arguments": '{"label":"refund"}'}}]
    body = bodies.chat(REFUND)
    body["choices"][0]["message"]["tool_calls"] = call
    assert reason(body) is Reason.TOOL_CALL
    assert reason(bodies.chat(REFUND, finish="tool_calls")) is Reason.TOOL_CALL
    body = bodies.responses(REFUND)
    body["output"].append({"type": "function_call", "name": "label", "arguments": "{}"})
    assert reason(body) is Reason.TOOL_CALL
    body = bodies.ollama(REFUND)
    body["message"]["tool_calls"] = call
    assert reason(body) is Reason.TOOL_CALL
    body = bodies.gemini(REFUND)
    body["candidates"][0]["content"]["parts"].append({"functionCall": {"name": "label", "args": {}}})
    assert reason(body) is Reason.TOOL_CALL
    body = bodies.anthropic()
    body["content"] = [{"type": "tool_use", "name": "label", "input": {"label": "refund"}}]
    assert reason(body) is Reason.TOOL_CALL


def test_an_empty_list_of_tool_calls_is_no_tool_call() -> None:
    body = bodies.chat(REFUND)
    body["choices"][0]["message"] |= {"tool_calls": [], "function_call": None}
    assert scored(body).label == "refund"


def test_a_refusal_is_no_answer() -> None:
    body = bodies.chat(REFUND)
    body["choices"][0]["message"] |= {"content": None, "refusal": "I can't help with that."}
    assert reason(body) is Reason.REFUSED
    assert score(body, LABELS).text == "I can't help with that."
    body["choices"][0]["message"]["refusal"] = None
    body["choices"][0]["logprobs"] = {"content": None, "refusal": bodies.entries(REFUND)}
    assert reason(body) is Reason.REFUSED
    body = bodies.responses(REFUND)
    body["output"][1]["content"] = [{"type": "refusal", "refusal": "No."}]
    assert reason(body) is Reason.REFUSED
    assert reason(bodies.anthropic() | {"stop_reason": "refusal"}) is Reason.REFUSED


@pytest.mark.parametrize("stop", ["SAFETY", "RECITATION", "PROHIBITED_CONTENT", "BLOCKLIST", "SPII"])
def test_a_filter_stop_is_no_answer(stop: str) -> None:
    assert reason(bodies.chat(REFUND, finish="content_filter")) is Reason.FILTERED
    body = bodies.gemini(REFUND)
    body["candidates"][0]["finishReason"] = stop
    assert reason(body) is Reason.FILTERED
    assert reason({"promptFeedback": {"blockReason": stop}}) is Reason.FILTERED
    body = bodies.responses(REFUND) | {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    assert reason(body) is Reason.FILTERED


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ("sensitive", Reason.FILTERED), ("network_error", Reason.ERROR_BODY), ("TIMEOUT", Reason.ERROR_BODY),
        ("USER_CANCEL", Reason.ERROR_BODY), ("ERROR_LIMIT", Reason.ERROR_BODY), ("OTHER", Reason.ERROR_BODY),
        ("LANGUAGE", Reason.ERROR_BODY), ("MALFORMED_RESPONSE", Reason.ERROR_BODY),
    ],
)  # fmt: skip
def test_a_stop_that_is_no_end_of_an_answer_is_never_scored(stop: str, expected: Reason) -> None:
    assert reason(bodies.chat(REFUND, finish=stop)) is expected


def test_an_incomplete_response_that_does_not_say_why_was_cut() -> None:
    assert scored(bodies.responses(REFUND) | {"status": "incomplete"}).label == "refund"
    half = [Tok("ref", 0.7, {"billing": 0.2})]
    assert reason(bodies.responses(half) | {"status": "incomplete"}) is Reason.TRUNCATED


@pytest.mark.parametrize("content", [None, "", " \n", [], 7], ids=repr)
def test_an_answer_without_text_is_no_content_or_cut(content: Any) -> None:
    body = bodies.chat([], logprobs=None)
    body["choices"][0]["message"]["content"] = content
    assert reason(body) is Reason.NO_CONTENT
    body["choices"][0]["finish_reason"] = "length"
    assert reason(body) is Reason.TRUNCATED
    body["choices"][0]["logprobs"] = {"content": bodies.entries(REFUND)}
    assert reason(body) is Reason.TRUNCATED


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "bad", "type": "invalid_request_error", "code": 400}},
        {"error": "model not found"},
        {"object": "error", "message": "max_tokens must be at least 1", "code": 400},
        {"detail": [{"loc": ["body"], "msg": "field required"}]},
        {"message": "invalid api token"},
        [{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}],
        bodies.chat(REFUND) | {"error": {"message": "upstream died"}},
        bodies.chat(REFUND, error={"code": 502, "message": "provider"}),
        bodies.chat(REFUND, finish="error"),
        bodies.responses(REFUND) | {"status": "failed"},
    ],
    ids=range(10),
)
def test_error_bodies_are_errors(body: object) -> None:
    assert reason(body) is Reason.ERROR_BODY


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (None, Reason.NO_ANSWER),
        (b"", Reason.NO_ANSWER),
        ("  ", Reason.NO_ANSWER),
        (b"<html>502</html>", Reason.NOT_JSON),
        (b"\xff\xfe", Reason.NOT_JSON),
        ("[" * 100_000, Reason.NOT_JSON),
        ('{"choices": ' + "9" * 5000 + "}", Reason.NOT_JSON),
        ("7", Reason.NOT_JSON),
        (7, Reason.NOT_JSON),
        ([1, 2], Reason.NOT_JSON),
        ([], Reason.NOT_JSON),
        ({}, Reason.UNKNOWN_SHAPE),
        ({"choices": [7]}, Reason.UNKNOWN_SHAPE),
        ({"choices": [{}]}, Reason.UNKNOWN_SHAPE),
        ({"choices": []}, Reason.NO_CONTENT),
        ({"output": []}, Reason.NO_CONTENT),
        ({"candidates": []}, Reason.NO_CONTENT),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_answer_at_all(body: object, expected: Reason) -> None:
    assert reason(body) is expected


def test_nan_and_lone_surrogates_in_the_json_are_read() -> None:
    text = '{"choices": [{"message": {"content": "ref\\ud800"}, "logprobs": {"content": [{"token": "x", "logprob": NaN}]}}]}'
    reading = score(text, LABELS)
    assert isinstance(reading.signal, Unscorable)
    assert reading.text == "ref?"
