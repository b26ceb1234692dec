"""Every provider's shape is read into the same numbers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal import alternatives, read_answer
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import SHAPES, Tok

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
    told = None if shape is bodies.tgi else 120  # which counts the prompt only if it is asked to return it
    assert (reading.prompt_tokens, reading.completion_tokens) == (told, 2)


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


def test_sglang_gives_the_texts_of_tokens_only_if_asked() -> None:
    body = bodies.sglang(REFUND)
    for triple in body["meta_info"]["output_token_logprobs"]:
        triple[2] = None
    assert reason(body) is Reason.UNREADABLE_TOKENS
    body["meta_info"]["output_top_logprobs"] = None
    assert reason(body) is Reason.NO_ALTERNATIVES
    del body["meta_info"]["output_token_logprobs"]
    assert reason(body) is Reason.LOGPROBS_ABSENT


def test_sglang_answers_with_a_list_or_with_chunks_of_all_so_far() -> None:
    whole = score(bodies.sglang(REFUND), LABELS)
    assert score([bodies.sglang(REFUND)], LABELS) == whole
    assert score([bodies.sglang(REFUND[:1]), bodies.sglang(REFUND)], LABELS) == whole
    assert (
        reason([bodies.sglang(REFUND), bodies.sglang([Tok("billing", 0.9, {"refund": 0.05})])]) is Reason.UNKNOWN_SHAPE
    )


def test_tgi_answers_with_a_list_or_with_a_token_a_chunk() -> None:
    body = bodies.tgi(REFUND)
    whole = score(body, LABELS)
    assert isinstance(whole.signal, Scored)
    assert score([body], LABELS) == whole
    details = body["details"]
    chunks = [
        {"index": n, "token": token, "top_tokens": top, "generated_text": None, "details": None}
        for n, (token, top) in enumerate(zip(details["tokens"], details["top_tokens"], strict=True))
    ]
    assert reason(chunks) is Reason.TRUNCATED, "the stream broke off"
    chunks[-1] |= {"generated_text": "refund", "details": {"finish_reason": "eos_token", "generated_tokens": 2}}
    assert score(chunks, LABELS).signal == whole.signal


def test_watsonx_and_bedrock_without_alternatives_are_no_signal() -> None:
    body = bodies.watsonx(REFUND)
    for row in body["results"][0]["generated_tokens"]:
        del row["top_tokens"]
    assert reason(body) is Reason.NO_ALTERNATIVES
    assert reason(body | {"results": body["results"] * 2}) is Reason.UNKNOWN_SHAPE
    body = bodies.watsonx(REFUND)
    body["results"][0]["moderations"] = {"hap": [{"score": 0.99, "input": False, "position": {"start": 0, "end": 6}}]}
    assert reason(body) is Reason.FILTERED
    titan = {
        "inputTextTokenCount": 9,
        "results": [{"tokenCount": 1, "outputText": "refund", "completionReason": "FINISH"}],
    }
    converse = {"output": {"message": {"role": "assistant", "content": [{"text": "refund"}]}}, "stopReason": "end_turn"}
    mistral = {"outputs": [{"text": "refund", "stop_reason": "stop"}]}
    for body in (titan, converse, mistral):
        assert reason(body) is Reason.LOGPROBS_ABSENT
        assert score(body, LABELS).signal.label == "refund"
    cohere = {"generations": [{"text": "refund", "token_likelihoods": [{"token": "refund", "likelihood": -0.1}]}]}
    assert reason(cohere) is Reason.NO_ALTERNATIVES


def test_bedrocks_imported_models_answer_by_token_id() -> None:
    tokens = [Tok("refund", 0.9, {"billing": 0.06})]
    signal = score(bodies.vllm_by_id(tokens), LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.confidence == pytest.approx(0.9)
    assert score(bodies.vllm_by_id(tokens), LABELS).completion_tokens == 1
    ids = {"generation": "refund", "logprobs": [{"5": -0.1, "6": -2.5}], "stop_reason": "stop"}
    assert reason(ids) is Reason.NO_ALTERNATIVES, "ids alone name nothing"


def filtered(hate: bool) -> dict[str, Any]:
    return {"hate": {"filtered": hate, "severity": "high" if hate else "safe"}, "error": {"code": "x"}}


def test_azure_annotates_a_stream_and_the_model_is_still_known() -> None:
    body = bodies.chat(REFUND)
    choice = body["choices"][0]
    head = {
        "id": "",
        "model": "",
        "choices": [],
        "prompt_filter_results": [{"content_filter_results": filtered(False)}],
    }
    delta = {"index": 0, "delta": {"content": "refund"}, "logprobs": choice["logprobs"], "finish_reason": None}
    text = {"id": "c", "model": body["model"], "choices": [delta]}
    end = {"id": "c", "model": body["model"], "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    note = {"id": "", "model": "", "choices": [{"index": 0, "content_filter_results": filtered(False)}]}
    read = score([head, text, end, note], LABELS)
    assert read.signal == score(body, LABELS).signal
    assert read.model == body["model"]
    bad = {"id": "", "model": "", "choices": [{"index": 0, "content_filter_results": filtered(True)}]}
    assert reason([head, text, end, bad, note]) is Reason.FILTERED, "a later note does not take it back"
    assert reason([head, text, note]) is Reason.TRUNCATED, "what the filter says may have been lost"
    head["prompt_filter_results"][0]["content_filter_results"] = filtered(True)
    assert reason([head, text, end]) is Reason.FILTERED


def test_a_number_may_be_the_label_of_a_json_object() -> None:
    labels = LabelSet(["7", "8", "refund"])
    tokens = [Tok('{"label": ', 0.99, {"x": 0.005}), Tok("8", 0.8, {"7": 0.15}), Tok("}", 0.99, {"x": 0.005})]
    signal = score(bodies.chat(tokens), labels).signal
    assert isinstance(signal, Scored)
    assert (signal.label, signal.confidence) == ("8", pytest.approx(0.8))
    cut = score(bodies.chat(tokens[:2], finish="length"), labels).signal
    assert isinstance(cut, Unscorable), "it could become 80"
    for text in ('{"label": 8.0}', '{"label": true}', '{"label": [8]}', '{"label": 80}', '{"label": -8}'):
        assert isinstance(score(bodies.chat([Tok(text, 0.9, {"x": 0.05})]), labels).signal, Unscorable)


@pytest.mark.parametrize(
    ("where", "verdict"),
    [
        ("choice", {"content_filter_results": {"custom_blocklists": [{"id": "b", "filtered": True}]}}),
        ("choice", {"content_filter_results": {"custom_blocklists": {"filtered": True, "details": []}}}),
        ("choice", {"content_filter_results": {"hate": {"filtered": True, "severity": "high"}}}),
        ("choice", {"native_finish_reason": "SAFETY"}),
        ("body", {"prompt_filter_results": [{"content_filter_results": {"jailbreak": {"filtered": True}}}]}),
    ],
)
def test_the_verdict_of_a_filter_is_heard_wherever_a_chat_body_holds_it(where: str, verdict: dict[str, Any]) -> None:
    body = bodies.chat(REFUND)
    (body if where == "body" else body["choices"][0]).update(verdict)
    assert reason(body) is Reason.FILTERED


@pytest.mark.parametrize(
    ("where", "verdict"),
    [
        ("body", {"promptFeedback": {"blockReason": "SAFETY"}}),
        ("body", {"promptFeedback": {"safetyRatings": [{"category": "C", "blocked": True}]}}),
        ("candidate", {"safetyRatings": [{"category": "C", "probability": "HIGH", "blocked": True}]}),
    ],
)
def test_the_verdict_of_a_filter_is_heard_wherever_gemini_gives_it(where: str, verdict: dict[str, Any]) -> None:
    body = bodies.gemini(REFUND)
    (body if where == "body" else body["candidates"][0]).update(verdict)
    assert reason(body) is Reason.FILTERED


def test_what_a_filter_let_pass_is_no_verdict() -> None:
    body = bodies.chat(REFUND)
    passed = {"hate": {"filtered": False, "severity": "safe"}, "custom_blocklists": [{"id": "b", "filtered": False}]}
    body["choices"][0]["content_filter_results"] = passed
    body["choices"][0]["native_finish_reason"] = "STOP"
    assert scored(body).label == "refund"


@pytest.mark.parametrize(
    "finish", ["canceled", "aborted", "server_error", "MISSING_THOUGHT_SIGNATURE", "something new"]
)
def test_an_answer_that_ended_for_an_unknown_reason_is_none(finish: str) -> None:
    assert reason(bodies.chat(REFUND, finish=finish)) is Reason.ERROR_BODY


def test_logprobs_of_a_refusal_beside_an_answer_are_a_refusal() -> None:
    body = bodies.chat(REFUND)
    body["choices"][0]["logprobs"]["refusal"] = [{"token": "Sorry", "logprob": -0.1, "top_logprobs": []}]
    assert reason(body) is Reason.REFUSED


def test_gemini_without_a_reason_has_not_stopped() -> None:
    body = bodies.gemini(REFUND)
    del body["candidates"][0]["finishReason"]
    assert reason(body) is Reason.TRUNCATED
    assert reason("data: " + json.dumps(body)) is Reason.TRUNCATED


def test_an_error_event_ends_a_stream() -> None:
    sent = f'data: {json.dumps(bodies.chat(REFUND))}\n\nevent: error\ndata: {{"message": "overloaded"}}\n\n'
    assert reason(sent) is Reason.ERROR_BODY


def test_any_number_of_comments_may_come_before_the_first_event() -> None:
    sent = ": OPENROUTER PROCESSING\n\n" * 200 + f"data: {json.dumps(bodies.chat(REFUND))}\n\n"
    assert scored(sent) == scored("\ufeff" + json.dumps(bodies.chat(REFUND))) == scored(bodies.chat(REFUND))


@pytest.mark.parametrize("kind", ["commentary", "input_text", "image", "reasoning_text", "summary_text"])
def test_parts_that_are_no_answer_are_not_read_as_one(kind: str) -> None:
    body = bodies.responses(REFUND)
    body["output"][1]["content"][0]["type"] = kind
    assert isinstance(score(body, LABELS).signal, Unscorable)
    body = bodies.mistral(REFUND)
    body["choices"][0]["message"]["content"] = [{"type": kind, "text": " refund"}]
    assert isinstance(score(body, LABELS).signal, Unscorable)


@pytest.mark.parametrize("mark", [{"phase": "commentary"}, {"channel": "analysis"}, {"is_thought": True}])
def test_parts_on_another_channel_are_no_answer(mark: dict[str, Any]) -> None:
    body = bodies.responses(REFUND)
    body["output"][1]["content"][0].update(mark)
    assert isinstance(score(body, LABELS).signal, Unscorable)


@pytest.mark.parametrize("role", ["tool", "user", "system", "reasoning", "developer"])
def test_a_message_of_somebody_else_is_no_answer(role: str) -> None:
    body = bodies.chat(REFUND)
    body["choices"][0]["message"]["role"] = role
    assert isinstance(score(body, LABELS).signal, Unscorable)


@pytest.mark.parametrize("item", [{"type": "mcp_approval_request"}, {"type": "function_call"}])
def test_a_response_that_waits_for_something_is_no_answer(item: dict[str, Any]) -> None:
    body = bodies.responses(REFUND)
    body["output"].append(item)
    assert reason(body) is Reason.TOOL_CALL
    body = bodies.responses(REFUND)
    body["status"] = "requires_action"
    assert reason(body) is Reason.TOOL_CALL
