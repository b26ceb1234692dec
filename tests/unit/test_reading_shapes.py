"""Every provider's shape is read into the same numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.labels import LabelSet
from streams.core.reading import alternatives, read_answer
from streams.core.score import score
from tests import bodies
from tests.bodies import SHAPES, Tok

LABELS = LabelSet(["refund", "billing", "shipping"])
#: " ref" + "und", with the label's other spellings and one word that is no label.
REFUND = [Tok(" ref", 0.6, {" Ref": 0.1, " bill": 0.15, " pizza": 0.05}), Tok("und", 0.9, {"use": 0.05})]
WRITTEN = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def scored(body: object, labels: LabelSet = LABELS) -> Scored:
    signal = score(body, labels).signal
    assert isinstance(signal, Scored), signal
    return signal


def reason(body: object, labels: LabelSet = LABELS) -> Reason:
    signal = score(body, labels).signal
    assert isinstance(signal, Unscorable), signal
    return signal.reason


@WRITTEN
def test_02_every_shape_is_chosen_by_content_and_gives_the_same_numbers(shape: Any) -> None:
    signal = scored(shape(REFUND))
    assert signal.label == "refund"
    assert signal.confidence == pytest.approx(0.7)
    assert signal.token_confidence == pytest.approx(0.6)
    assert signal.top_k_mass == pytest.approx(0.9)
    assert signal.k == 4
    assert signal.label_probs == pytest.approx({"refund": 0.7 / 0.85, "billing": 0.15 / 0.85, "shipping": 0})
    assert signal.out_of_label == pytest.approx(0.05)
    assert signal.margin == pytest.approx(0.55 / 0.85)
    assert signal.min_logprob == pytest.approx(math.log(0.6))
    assert signal.mean_logprob == pytest.approx((math.log(0.6) + math.log(0.9)) / 2)
    shares = [0.6 / 0.9, 0.1 / 0.9, 0.15 / 0.9, 0.05 / 0.9]
    assert signal.token_entropy == pytest.approx(-sum(p * math.log(p) for p in shares))


@WRITTEN
def test_a_body_reads_the_same_as_object_bytes_and_text(shape: Any) -> None:
    body = shape(REFUND)
    text = json.dumps(body)
    assert score(body, LABELS) == score(text, LABELS) == score(text.encode(), LABELS) == score([body], LABELS)


def test_03_one_dict_of_alternatives_belongs_to_the_first_token_that_it_lists() -> None:
    assert scored(bodies.legacy_one_dict(REFUND)).confidence == pytest.approx(0.7)
    newline = Tok("\n", 0.9)
    newline.listed = False
    assert scored(bodies.legacy_one_dict([newline, *REFUND])).confidence == pytest.approx(0.7)


@pytest.mark.parametrize("top", [None, [], {}, "missing"], ids=str)
def test_03_missing_null_and_empty_alternatives_are_no_signal(top: Any) -> None:
    body = bodies.chat(REFUND)
    for entry in body["choices"][0]["logprobs"]["content"]:
        entry["top_logprobs"] = top
        if top == "missing":
            del entry["top_logprobs"]
    assert reason(body) is Reason.NO_ALTERNATIVES


def test_03_alternatives_as_a_dict_or_a_list_of_dicts_inside_the_chat_shape() -> None:
    for form in (dict, lambda top: [{text: logprob} for text, logprob in top.items()]):
        body = bodies.chat(REFUND)
        for entry, token in zip(body["choices"][0]["logprobs"]["content"], REFUND, strict=True):
            entry["top_logprobs"] = form(token.top)
        assert scored(body).confidence == pytest.approx(0.7)


def test_03_alternatives_by_token_id_with_the_decoded_text_inside() -> None:
    top = [
        {str(1000 + i): {"logprob": logprob, "rank": i + 1, "decoded_token": text} for i, (text, logprob) in items}
        for items in (list(enumerate(token.top.items())) for token in REFUND)
    ]
    assert scored(bodies.legacy(REFUND, top_logprobs=top)).confidence == pytest.approx(0.7)


def test_04_null_bytes_and_unknown_fields_are_ignored() -> None:
    body = bodies.chat(REFUND)
    body["service_tier"] = body["choices"][0]["content_filter_results"] = {"hate": {"filtered": False}}
    for entry in body["choices"][0]["logprobs"]["content"]:
        entry |= {"bytes": None, "rank": 1}
        for item in entry["top_logprobs"]:
            item |= {"bytes": None, "nested": {"deep": [1]}}
    assert scored(body) == scored(bodies.chat(REFUND))


def test_09_the_number_of_alternatives_that_came_back_is_recorded() -> None:
    assert scored(bodies.chat([Tok("refund", 0.9, {"billing": 0.05})])).k == 2
    assert scored(bodies.chat([Tok("refund", 0.2, {"billing": 0.5}, listed=False)])).k == 1


def test_23_token_ids_are_decoded_from_bytes_or_left_off() -> None:
    body = bodies.vllm(REFUND)
    content = body["choices"][0]["logprobs"]["content"]
    for item in content[0]["top_logprobs"][1:]:
        item["bytes"] = list(item["token"].encode())  # what vLLM sends for alternatives
    content[0]["top_logprobs"][1]["bytes"] = list(b" Ref")
    signal = scored(body)
    assert signal.confidence == pytest.approx(0.7)
    assert signal.out_of_label == pytest.approx(0.2), "an id without text is doubt"
    for entry in content:
        entry["bytes"] = None
    assert reason(body) is Reason.UNREADABLE_TOKENS


@pytest.mark.parametrize("token", ["", None, "absent"])
def test_04_a_token_without_text_is_read_from_its_bytes(token: str | None) -> None:
    body = bodies.chat(REFUND)
    entries = body["choices"][0]["logprobs"]["content"]
    for each in [*entries, *(other for entry in entries for other in entry["top_logprobs"])]:
        each["token"] = token
        if token == "absent":
            del each["token"]
    assert score(body, LABELS) == score(bodies.chat(REFUND), LABELS)
    if token == "":
        return
    for raw in ("refund", [], [300], None):
        entries[0]["bytes"] = raw
        assert reason(body) is Reason.UNREADABLE_TOKENS, "neither a text nor bytes of one"


def test_23_alternatives_that_are_all_ids_without_text_are_no_signal() -> None:
    body = bodies.vllm([Tok("refund", 0.9, {"billing": 0.05})])
    for item in body["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1:]:
        item["bytes"] = None
    assert reason(body) is Reason.UNREADABLE_TOKENS


def test_26_the_returned_model_and_a_null_fingerprint_are_recorded() -> None:
    reading = score(bodies.chat(REFUND), LABELS)
    assert (reading.model, reading.fingerprint) == ("gpt-4o-mini-2024-07-18", "fp_44709d6fcb")
    assert score(bodies.chat(REFUND) | {"system_fingerprint": None}, LABELS).fingerprint is None
    assert score(bodies.gemini(REFUND), LABELS).model == "gemini-2.0-flash-001"
    assert score(bodies.chat(REFUND) | {"model": "m" * 9000}, LABELS).model == "m" * 256


@WRITTEN
def test_27_usage_is_read_under_every_name(shape: Any) -> None:
    reading = score(shape(REFUND), LABELS)
    assert (reading.prompt_tokens, reading.completion_tokens) == (120, 2)


def test_27_absent_or_senseless_usage_is_none() -> None:
    for usage in (None, {}, [], {"prompt_tokens": -1, "completion_tokens": True}, {"prompt_tokens": 10**30}):
        reading = score(bodies.chat(REFUND) | {"usage": usage}, LABELS)
        assert (reading.prompt_tokens, reading.completion_tokens) == (None, None)


def test_27_thoughts_are_billed_as_output() -> None:
    body = bodies.gemini(REFUND)
    body["usageMetadata"]["thoughtsTokenCount"] = 40
    assert score(body, LABELS).completion_tokens == 42


def test_cost_is_known_even_without_a_signal() -> None:
    body = bodies.chat(REFUND, logprobs=None)
    reading = score(body, LABELS)
    assert reading.signal == Unscorable(reason=Reason.LOGPROBS_NULL, detail="logprobs is null", label="refund")
    assert (reading.text, reading.model, reading.prompt_tokens, reading.completion_tokens) == (
        " refund",
        "gpt-4o-mini-2024-07-18",
        120,
        2,
    )


def test_cohere_gives_no_alternatives_and_so_no_signal() -> None:
    reading = score(bodies.cohere(), LABELS)
    assert isinstance(reading.signal, Unscorable)
    assert (reading.signal.reason, reading.signal.label) == (Reason.NO_ALTERNATIVES, "refund")
    assert (reading.prompt_tokens, reading.completion_tokens) == (120, 1)


def test_anthropic_gives_no_logprobs() -> None:
    assert score(bodies.anthropic(), LABELS).signal.label == "refund"
    assert reason(bodies.anthropic()) is Reason.LOGPROBS_ABSENT


def test_gemini_as_its_python_client_dumps_it() -> None:
    candidate = bodies.gemini(REFUND)["candidates"][0]
    result = candidate.pop("logprobsResult")
    rows = [[{"token": x["token"], "log_probability": x["logProbability"]} for x in top["candidates"]] for top in
            result["topCandidates"]]  # fmt: skip
    chosen = [{"token": x["token"], "log_probability": x["logProbability"]} for x in result["chosenCandidates"]]
    candidate["logprobs_result"] = {
        "chosen_candidates": chosen,
        "top_candidates": [{"candidates": row} for row in rows],
    }
    candidate["finish_reason"] = candidate.pop("finishReason")
    body = {"candidates": [candidate], "usage_metadata": {"prompt_token_count": 5, "candidates_token_count": 2}}
    assert scored(body).confidence == pytest.approx(0.7)
    assert score(body, LABELS).completion_tokens == 2


def test_a_responses_text_may_come_in_parts() -> None:
    body = bodies.responses(REFUND)
    (part,) = body["output"][1]["content"]
    halves = [{**part, "text": entry["token"], "logprobs": [entry]} for entry in part["logprobs"]]
    body["output"][1]["content"] = halves
    assert scored(body) == scored(bodies.responses(REFUND))
    del halves[1]["logprobs"]
    assert reason(body) is Reason.LOGPROBS_ABSENT


def test_thoughts_are_no_part_of_the_text() -> None:
    body = bodies.mistral(REFUND)
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "billing?"}]}
    body["choices"][0]["message"]["content"] = [thinking, {"type": "text", "text": " refund"}]
    assert scored(body).label == "refund"
    body = bodies.gemini(REFUND)
    body["candidates"][0]["content"]["parts"].insert(0, {"text": "billing?", "thought": True})
    assert scored(body).label == "refund"


def test_an_end_token_is_not_counted_twice_where_it_has_no_text() -> None:
    answer = read_answer(bodies.chat([Tok("", 0.6, {"x": 0.3})]))
    assert not isinstance(answer.tokens, Unscorable)
    shown = alternatives(answer.tokens[0])
    assert not isinstance(shown, Unscorable)
    assert (shown.k, shown.mass) == (2, pytest.approx(0.9))


def test_03_one_alternative_as_an_object_and_entries_that_are_nothing() -> None:
    body = bodies.chat([Tok("refund", 0.7, {"billing": 0.2})])
    entry = body["choices"][0]["logprobs"]["content"][0]
    entry["top_logprobs"] = {"token": "billing", "logprob": math.log(0.2)}
    assert (scored(body).k, scored(body).top_k_mass) == (1, pytest.approx(0.9))
    entry["top_logprobs"] = [None, 7, "x", {}, {"token": "billing", "logprob": math.log(0.2)}]
    assert (scored(body).k, scored(body).top_k_mass) == (1, pytest.approx(0.9))
    body["choices"][0]["logprobs"]["content"].append(None)
    assert reason(body) is Reason.UNREADABLE_TOKENS


def test_the_answer_alone_can_be_read_without_labels() -> None:
    answer = read_answer(bodies.chat([Tok("x", 0.5, {"y": 0.3})], finish="length"))
    assert not isinstance(answer.tokens, Unscorable)
    assert (answer.shape, answer.finish, answer.text) == ("chat", "length", "x")
    shown = alternatives(answer.tokens[0])
    assert not isinstance(shown, Unscorable)
    assert shown.own == pytest.approx(math.log(0.5))
    assert dict(shown.others) == pytest.approx({"y": 0.3})
    assert shown.mass == pytest.approx(0.8)


def test_several_choices_are_read_at_index_zero() -> None:
    body = bodies.chat(REFUND)
    other = bodies.chat([Tok("billing", 0.9, {"refund": 0.05})])["choices"][0] | {"index": 1}
    body["choices"].insert(0, other)
    assert scored(body).label == "refund"


@WRITTEN
def test_26_29_the_same_body_always_gives_the_same_reading(shape: Any) -> None:
    assert score(shape(REFUND), LABELS) == score(shape(REFUND), LABELS)
