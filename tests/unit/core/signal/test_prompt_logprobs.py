"""The logprobs of a text that was sent, from every shape that gives them, and from those that do not."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas import NoPerplexity, Unmeasured
from streams.core.signal.prompt_logprobs import read_prompt

TEXT = "My refund is late"
PIECES = ["My", " refund", " is", " late"]
LOGPROBS = [-6.0, -2.0, -0.5, -1.5]
RECORDED = Path(__file__).parents[5] / "shared" / "data" / "llama_server"

Body = dict[str, Any]


def legacy(tokens: list[str], logprobs: list[float | None]) -> Body:
    return {"choices": [{"text": "", "logprobs": {"tokens": tokens, "token_logprobs": logprobs, "text_offset": []}}]}


def echoed(*generated: str) -> Body:
    return legacy([*PIECES, *generated], [None, *LOGPROBS[1:], *(-0.1 for _ in generated)])


def entry(text: str, logprob: float, rank: int = 1) -> Body:
    return {"logprob": logprob, "rank": rank, "decoded_token": text}


def vllm(positions: list[Body | None], ids: Sequence[int] | None = None) -> Body:
    choice: Body = {"text": " x", "prompt_logprobs": positions}
    return {"choices": [choice | ({} if ids is None else {"prompt_token_ids": list(ids)})]}


def reason(body: object, text: str = TEXT) -> NoPerplexity:
    found = read_prompt(body, text)
    assert isinstance(found, Unmeasured), found
    return found.reason


class TestLegacyEcho:
    def test_the_first_token_has_no_logprob_and_is_left_out(self) -> None:
        assert read_prompt(echoed(), TEXT) == tuple(LOGPROBS[1:])

    def test_what_was_generated_after_the_prompt_is_left_out(self) -> None:
        assert read_prompt(echoed(" again", " and"), TEXT) == tuple(LOGPROBS[1:])

    def test_a_first_token_with_a_logprob_counts(self) -> None:
        assert read_prompt(legacy(PIECES, list(LOGPROBS)), TEXT) == tuple(LOGPROBS)

    def test_space_around_the_text_does_not_count(self) -> None:
        assert read_prompt(echoed(), f"\n {TEXT} ") == tuple(LOGPROBS[1:])

    def test_a_begin_token_and_word_marks_of_a_sentencepiece_vocabulary(self) -> None:
        tokens = ["<s>", "▁My", "▁refund", "▁is", "▁late"]
        assert read_prompt(legacy(tokens, [None, *LOGPROBS]), TEXT) == tuple(LOGPROBS)

    def test_parts_of_a_character(self) -> None:
        body = legacy(["h", "bytes:\\xc3", "bytes:\\xa9", "!"], [None, -1.0, -2.0, -3.0])
        assert read_prompt(body, "hé!") == (-1.0, -2.0, -3.0)

    def test_together_keeps_the_prompt_apart(self) -> None:
        prompt = [{"text": TEXT, "logprobs": {"tokens": PIECES, "token_logprobs": [None, *LOGPROBS[1:]]}}]
        body = {"prompt": prompt, "choices": [{"text": "x", "logprobs": {"tokens": ["x"], "token_logprobs": [-1.0]}}]}
        assert read_prompt(body, TEXT) == tuple(LOGPROBS[1:])

    def test_a_floor_stays_one(self) -> None:
        assert read_prompt(legacy(PIECES, [None, -9999.0, -0.5, -1.5]), TEXT) == (-math.inf, -0.5, -1.5)

    @pytest.mark.parametrize(
        ("tokens", "logprobs", "expected"),
        [
            (["My", " refund", " is", " later"], [None, -1.0, -1.0, -1.0], None),
            (PIECES[:3], [None, -1.0, -1.0], NoPerplexity.NOT_THE_PROMPT),
            (["x"], [-1.0], NoPerplexity.NOT_THE_PROMPT),
            ([], [], NoPerplexity.NOT_THE_PROMPT),
            (PIECES, [None, -1.0, None, -1.0], NoPerplexity.INCOMPLETE),
            (PIECES, [None, -9999.0, -9999.0, -9999.0], NoPerplexity.INCOMPLETE),
            (PIECES, [None, 0.7, -1.0, -1.0], NoPerplexity.IMPOSSIBLE_LOGPROB),
            (PIECES, [None, "-1", -1.0, -1.0], NoPerplexity.IMPOSSIBLE_LOGPROB),
            (PIECES, [None, -1.0], NoPerplexity.UNREADABLE),
            (["My", None, " is", " late"], [None, -1.0, -1.0, -1.0], NoPerplexity.UNREADABLE),
        ],
    )
    def test_what_cannot_be_used_has_a_reason(
        self, tokens: list[str], logprobs: list[float | None], expected: NoPerplexity | None
    ) -> None:
        found = read_prompt(legacy(tokens, logprobs), TEXT)
        assert (found.reason if isinstance(found, Unmeasured) else None) == expected


class TestVllm:
    IDS = (7, 8, 9, 10)

    def test_the_token_that_was_sent_is_taken_by_its_id(self) -> None:
        positions = [None, *({str(i): entry(p, x, 5), "99": entry(" other", -0.1)} for i, p, x in self.rows())]
        assert read_prompt(vllm(positions, self.IDS), TEXT) == tuple(LOGPROBS[1:])

    def test_without_ids_it_is_the_one_of_two_that_is_not_the_likeliest(self) -> None:
        positions = [None, *({"99": entry(" other", -0.1), str(i): entry(p, x, 5)} for i, p, x in self.rows())]
        assert read_prompt(vllm(positions), TEXT) == tuple(LOGPROBS[1:])

    def test_alone_it_may_be_the_likeliest(self) -> None:
        positions = [None, *({str(i): entry(p, x, 1)} for i, p, x in self.rows())]
        assert read_prompt(vllm(positions), TEXT) == tuple(LOGPROBS[1:])

    def test_several_without_ids_are_no_signal(self) -> None:
        several = {"1": entry(" a", -1.0, 1), "2": entry(" b", -2.0, 2), "3": entry(" refund", -3.0, 3)}
        assert reason(vllm([None, several, several, several])) is NoPerplexity.UNKNOWN_TOKEN

    def test_an_id_that_is_not_listed_is_no_signal(self) -> None:
        positions = [None, *({"99": entry(p, x)} for _, p, x in self.rows())]
        assert reason(vllm(positions, self.IDS)) is NoPerplexity.UNKNOWN_TOKEN

    def test_a_chat_template_around_the_text_is_left_out(self) -> None:
        around = [("<user>", -0.1), *zip(PIECES, LOGPROBS, strict=True), ("<end>", -0.1)]
        positions = [None, *({str(i): entry(p, x)} for i, (p, x) in enumerate(around))]
        assert read_prompt({"choices": [{"message": {}}], "prompt_logprobs": positions}, TEXT) == tuple(LOGPROBS)

    def test_the_text_must_be_spelled_but_for_its_first_token(self) -> None:
        positions = [None, *({str(i): entry(p, x)} for i, p, x in self.rows())]
        assert reason(vllm(positions), "My refund was late") is NoPerplexity.NOT_THE_PROMPT
        assert reason(vllm(positions), "x" * 33 + " refund is late") is NoPerplexity.NOT_THE_PROMPT

    def test_null_is_absence(self) -> None:
        assert reason({"choices": [{"text": "x"}], "prompt_logprobs": None}) is NoPerplexity.ABSENT

    def rows(self) -> list[tuple[int, str, float]]:
        return list(zip(self.IDS[1:], PIECES[1:], LOGPROBS[1:], strict=True))


class TestMistral:
    def test_its_content_is_read_and_its_template_left_out(self) -> None:
        around = [("[INST]", -0.1), *zip(PIECES, LOGPROBS, strict=True), ("[/INST]", -0.1)]
        content = [{"token": p, "logprob": x, "bytes": list(p.encode()), "token_id": 1} for p, x in around]
        body = {"choices": [{"message": {"content": "x"}, "prompt_logprobs": {"content": content}}]}
        assert read_prompt(body, TEXT) == tuple(LOGPROBS)


@pytest.mark.parametrize("body", [b"", b"<html>", [], {}, {"error": {"message": "no"}}, {"choices": []}, 7, None])
def test_a_body_without_an_answer_is_unreadable(body: object) -> None:
    assert reason(body) is NoPerplexity.UNREADABLE


def test_an_answer_without_logprobs_is_absence() -> None:
    assert reason({"choices": [{"text": "x"}]}) is NoPerplexity.ABSENT
    assert reason({"choices": [{"text": "x", "logprobs": None}]}) is NoPerplexity.ABSENT


@pytest.mark.skipif(not RECORDED.exists(), reason="the recorded llama.cpp bodies are not beside this checkout")
@pytest.mark.parametrize("path", sorted(RECORDED.glob("*completions_*.json")), ids=lambda path: path.stem)
def test_llama_cpp_ignores_the_wish_for_an_echo_and_that_is_seen(path: Path) -> None:
    recorded = json.loads(path.read_text())
    prompt = recorded["request"].get("prompt")
    prompt = prompt[0] if isinstance(prompt, list) else prompt
    assert isinstance(read_prompt(recorded["response"], prompt), Unmeasured)
