"""Request bodies: what is taken from them, and what is refused with 400."""

from __future__ import annotations

from typing import Any

import pytest

from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest, RequestRefused
from streams.sandbox.model_server.tokens import Decoding

USER = {"role": "user", "content": "hello"}
CHAT = {"model": "m", "messages": [USER]}
PROMPT = {"model": "m", "prompt": "hello"}


def test_the_last_user_message_is_what_gets_classified() -> None:
    parts = [{"type": "text", "text": "the "}, {"type": "text", "text": "last"}]
    messages = [
        {"role": "system", "content": "label it"},
        USER,
        {"role": "assistant", "content": None},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "fees"},
    ]
    request = ChatRequest.parse({"model": "m", "messages": messages})
    assert request.text == "the last"
    assert request.prompt == ("label it", "hello", "", "the last", "fees")
    assert request.examples == ()


def test_answered_messages_before_the_last_one_are_examples() -> None:
    def said(role: str, text: str) -> dict[str, str]:
        return {"role": role, "content": text}

    turns = [
        said("user", "one"),
        said("assistant", "a"),
        said("user", "lost"),
        said("user", "two"),
        said("assistant", "b"),
    ]
    request = ChatRequest.parse({"model": "m", "messages": [*turns, USER]})
    assert (request.text, request.examples) == ("hello", (("one", "a"), ("two", "b")))


def test_chat_defaults_are_openais() -> None:
    assert ChatRequest.parse(CHAT) == ChatRequest("m", "hello", ("hello",), False, Decoding(0, 1.0, 16, None))


def test_chat_options_are_read_and_unknown_ones_ignored() -> None:
    options = {"logprobs": True, "top_logprobs": 20, "temperature": 0, "seed": 4, "n": 3, "top_p": 0.5, "user": "u"}
    request = ChatRequest.parse(CHAT | options | {"max_completion_tokens": 2, "max_tokens": None})
    assert request.logprobs
    assert request.decoding == Decoding(20, 0.0, 2, 4)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ([], None),
        ({"messages": [USER]}, "model"),
        (CHAT | {"messages": "hello"}, "messages"),
        (CHAT | {"messages": []}, "messages"),
        (CHAT | {"messages": [{"role": "system", "content": "x"}]}, "messages"),
        (CHAT | {"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        (CHAT | {"messages": [USER, {"role": "user", "content": 3}]}, "messages[1].content"),
        (CHAT | {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        (CHAT | {"top_logprobs": 5}, "top_logprobs"),
        (CHAT | {"top_logprobs": 0, "logprobs": False}, "top_logprobs"),
        (CHAT | {"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        (CHAT | {"top_logprobs": True, "logprobs": True}, "top_logprobs"),
        (CHAT | {"logprobs": 5}, "logprobs"),
        (CHAT | {"max_tokens": 0}, "max_tokens"),
        (CHAT | {"max_completion_tokens": "2"}, "max_completion_tokens"),
        (CHAT | {"temperature": 3}, "temperature"),
        (CHAT | {"seed": 1.5}, "seed"),
        (CHAT | {"stream": True}, "stream"),
    ],
)
def test_refuses_chat_requests(body: Any, param: str | None) -> None:
    with pytest.raises(RequestRefused) as refused:
        ChatRequest.parse(body)
    assert (refused.value.status, refused.value.param) == (400, param)


def test_completion_options_are_read() -> None:
    request = CompletionRequest.parse(PROMPT | {"prompt": ["a", "b"], "logprobs": 5, "echo": True, "max_tokens": 0})
    assert request == CompletionRequest("m", ("a", "b"), 5, True, Decoding(5, 1.0, 0, None))
    assert CompletionRequest.parse(PROMPT).logprobs is None


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"logprobs": 21}, "logprobs"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": 1}, "echo"),
        ({"max_tokens": -1}, "max_tokens"),
    ],
)
def test_refuses_completion_requests(change: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        CompletionRequest.parse(PROMPT | change)
    assert (refused.value.status, refused.value.param) == (400, param)
