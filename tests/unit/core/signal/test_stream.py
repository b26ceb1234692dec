"""Streams are read like the body that would have come without streaming."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.signal import Reason, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import Body, Tok

LABELS = LabelSet(["refund", "billing", "shipping"])
REFUND = [Tok("ref", 0.7, {"bill": 0.2}), Tok("und", 0.9, {"use": 0.05})]


def chunks(*, finish: str | None = "stop") -> list[Body]:
    def chunk(delta: Body, finish: str | None = None, **choice: Any) -> Body:
        return {
            "id": "1",
            "object": "chat.completion.chunk",
            "model": "gpt-4o",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish, **choice}],
            "usage": None,
        }

    return [
        chunk({"role": "assistant", "content": "", "refusal": None}, logprobs=None),
        *(chunk({"content": tok.text}, logprobs={"content": bodies.entries([tok]), "refusal": None}) for tok in REFUND),
        chunk({}, finish, logprobs=None),
        {"id": "1", "model": "gpt-4o", "choices": [], "usage": {"prompt_tokens": 120, "completion_tokens": 2}},
    ]


def events(parts: list[Body]) -> str:
    return ": ping\n\n" + "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"


def test_24_logprobs_are_concatenated_over_all_chunks() -> None:
    whole = score(bodies.chat(REFUND), LABELS)
    streamed = score(chunks(), LABELS)
    assert streamed.signal == whole.signal
    assert (streamed.text, streamed.model) == ("refund", "gpt-4o")
    assert (streamed.prompt_tokens, streamed.completion_tokens) == (120, 2)
    assert score(events(chunks()), LABELS) == score(events(chunks()).encode(), LABELS) == streamed
    assert score(events(chunks()).replace("\n", "\r\n"), LABELS) == streamed


def test_24_a_chunk_without_its_logprobs_is_misaligned() -> None:
    parts = chunks()
    parts[2]["choices"][0]["logprobs"] = None
    signal = score(parts, LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason is Reason.MISALIGNED


def test_24_legacy_chunks_join_their_parallel_lists() -> None:
    parts = [bodies.legacy([token]) for token in REFUND]
    assert score(parts, LABELS).signal == score(bodies.legacy(REFUND), LABELS).signal
    one_dict = [bodies.legacy([token], top_logprobs=token.top) for token in REFUND]
    assert score(one_dict, LABELS).signal == score(bodies.legacy(REFUND), LABELS).signal


def test_24_a_stream_that_was_cut_is_truncated() -> None:
    signal = score(chunks()[:2], LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason is Reason.TRUNCATED


def test_24_an_error_inside_a_stream_is_an_error() -> None:
    signal = score([*chunks(), {"error": {"message": "overloaded"}}], LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason is Reason.ERROR_BODY


def test_24_the_last_event_of_a_responses_stream_holds_the_whole_response() -> None:
    body = bodies.responses(REFUND)
    parts = [
        {"type": "response.created", "response": {**body, "output": [], "status": "in_progress"}},
        {"type": "response.output_text.delta", "delta": "ref"},
        {"type": "response.completed", "response": body},
    ]
    assert score(events(parts), LABELS) == score(body, LABELS)


def test_24_ollama_sends_one_object_a_line() -> None:
    parts = [{**bodies.ollama([token]), "done": False, "done_reason": None} for token in REFUND]
    end = {"done": True, "done_reason": "stop", "message": {"role": "assistant", "content": ""}, "eval_count": 2}
    text = "\n".join(json.dumps(part) for part in [*parts, end])
    assert score(text, LABELS).signal == score(bodies.ollama(REFUND), LABELS).signal
    assert score(text, LABELS).completion_tokens == 2
    cut = score(json.dumps(parts[0]) + "\n" + json.dumps(parts[0]), LABELS).signal
    assert isinstance(cut, Unscorable)


def test_24_gemini_chunks_join_their_candidates() -> None:
    parts = [bodies.gemini([token]) for token in REFUND]
    assert score(parts, LABELS).signal == score(bodies.gemini(REFUND), LABELS).signal


def test_24_llama_cpp_native_chunks_join_their_probabilities() -> None:
    parts = [{**bodies.llama_native([token]), "stop": number == 1} for number, token in enumerate(REFUND)]
    assert score(parts, LABELS).signal == score(bodies.llama_native(REFUND), LABELS).signal


@pytest.mark.parametrize("text", ["data: {", "data: nonsense\n\ndata: [DONE]", "{}\n{", "a\nb"])
def test_broken_streams_are_not_json(text: str) -> None:
    signal = score(text, LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason is Reason.NOT_JSON


def test_24_a_stream_that_broke_off_is_cut_in_every_shape() -> None:
    gemini = [bodies.gemini([token]) for token in REFUND]
    for part in gemini:
        del part["candidates"][0]["finishReason"]
    native = [bodies.llama_native([token]) | {"stop": False, "stop_type": "none"} for token in REFUND]
    sglang = bodies.sglang(REFUND)
    sglang["meta_info"]["finish_reason"] = None
    ollama = bodies.ollama(REFUND) | {"done": False, "done_reason": None}
    running = bodies.responses(REFUND) | {"status": "in_progress"}
    for body in (gemini, native, sglang, ollama, running):
        signal = score(body, LABELS).signal
        assert isinstance(signal, Unscorable)
        assert signal.reason is Reason.TRUNCATED
