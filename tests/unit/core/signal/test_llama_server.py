"""What a real llama.cpp server answers: excerpts of our own in its shapes, and recorded bodies where they are present."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import Body, Tok

QUEUES = LabelSet(["account", "cards", "fees", "payments", "refunds", "security", "topups", "transfers"])
RECORDED = Path(__file__).parents[5] / "shared" / "data" / "llama_server"
recorded = pytest.mark.skipif(not RECORDED.is_dir(), reason=f"recorded bodies are not there: {RECORDED.name}")

TOP = Tok(" top", 0.27, {" fees": 0.18, " charges": 0.11, " transfers": 0.08, " Top": 0.01, " ": 0.01})
UPS = Tok("ups", 0.9, {" ups": 0.05, "": 0.02})


def signal_of(body: object) -> Scored | Unscorable:
    return score(body, QUEUES).signal


def response(name: str) -> Body:
    body: Body = json.loads((RECORDED / f"{name}.json").read_text())["response"]
    return body


def reason(body: object) -> Reason:
    signal = signal_of(body)
    assert isinstance(signal, Unscorable), signal
    return signal.reason


def test_real_1_legacy_completions_answer_in_the_chat_shape() -> None:
    signal = signal_of(bodies.llama_completions([TOP, UPS]))
    assert isinstance(signal, Scored)
    assert (signal.label, signal.k) == ("topups", 6)
    assert signal.confidence == pytest.approx(0.28)
    assert signal.out_of_label == pytest.approx(0.12)


def test_real_2_logprobs_0_gives_null_and_chat_drops_the_field() -> None:
    body = bodies.llama_completions([TOP, UPS])
    body["choices"][0]["logprobs"] = None
    assert reason(body) is Reason.LOGPROBS_NULL
    del body["choices"][0]["logprobs"]
    assert reason(body) is Reason.LOGPROBS_ABSENT


def test_real_4_one_token_that_only_begins_a_label_is_truncated() -> None:
    body = bodies.llama_completions([TOP])
    body["choices"][0]["finish_reason"] = "length"
    assert reason(body) is Reason.TRUNCATED
    body["choices"][0]["finish_reason"] = "stop"
    assert reason(body) is Reason.NOT_A_LABEL


def test_real_4_a_label_that_is_whole_is_not_truncated_by_max_tokens() -> None:
    for tokens in ([TOP, UPS], [TOP, UPS, Tok("\n\n", 0.86, {"": 0.06})]):
        body = bodies.llama_completions(tokens)
        body["choices"][0]["finish_reason"] = "length"
        signal = signal_of(body)
        assert isinstance(signal, Scored)
        assert signal.label == "topups"
        assert signal.mean_logprob == pytest.approx((math.log(0.27) + math.log(0.9)) / 2), "the label's tokens only"


def test_real_5_under_a_grammar_the_chosen_token_can_be_tiny_and_last() -> None:
    forced = Tok(" fees", 0.001, {" the": 0.6, " I": 0.2, " topups": 0.1}, listed=False)
    signal = signal_of(bodies.llama_completions([forced]))
    assert isinstance(signal, Scored)
    assert (signal.label, signal.confidence) == ("fees", pytest.approx(0.001))
    assert signal.label_probs["topups"] > 0.98


def test_real_6_probabilities_after_sampling_are_read_and_a_lone_one_is_no_signal() -> None:
    signal = signal_of(bodies.llama_after_sampling([TOP, UPS]))
    assert isinstance(signal, Scored)
    assert signal.confidence == pytest.approx(0.28)
    greedy = Tok(" fees", 1.0)  # at temperature 0 nothing else is left after sampling
    assert reason(bodies.llama_after_sampling([greedy])) is Reason.NO_ALTERNATIVES


def test_real_8_the_model_is_what_the_server_was_started_with() -> None:
    reading = score(bodies.llama_native([TOP, UPS]), QUEUES)
    assert (reading.model, reading.fingerprint) == ("gemma-3-270m-q4_k_m.gguf", None)
    assert (reading.prompt_tokens, reading.completion_tokens) == (120, 2)


def test_an_end_token_shows_as_empty_text_and_is_no_label() -> None:
    signal = signal_of(bodies.llama_completions([Tok(" fees", 0.6, {"": 0.2, " topups": 0.1})]))
    assert isinstance(signal, Scored)
    assert signal.out_of_label == pytest.approx(0.2)


def test_a_half_character_is_cut_from_the_token_and_stands_in_its_bytes() -> None:
    def entry(raw: bytes, p: float) -> Body:
        # The server cuts an unfinished character from a token's end; a loose byte inside becomes a replacement mark.
        text = raw.decode("utf-8", "replace").removesuffix("\ufffd" if raw[-1] >= 0xC0 else "\0")
        return {"id": 1903, "token": text, "bytes": list(raw), "logprob": math.log(p)}

    entries = [
        entry(b" \xc3", 0.9) | {"top_logprobs": [entry(b" \xc3", 0.9), entry(b" hiver", 0.06), entry(b"\xc3", 0.02)]},
        entry(b"\xa9t", 0.99) | {"top_logprobs": [entry(b"\xa9t", 0.99), entry(b"\xa8", 0.005)]},
        entry("\u00e9".encode(), 0.99) | {"top_logprobs": [entry("\u00e9".encode(), 0.99), entry(b"\xc3", 0.005)]},
    ]
    assert [each["token"] for each in entries] == [" ", "\ufffdt", "\u00e9"]
    body = bodies.llama_completions([], text=" \u00e9t\u00e9")
    body["choices"][0]["logprobs"] = {"content": entries}
    signal = score(body, LabelSet(["\u00e9t\u00e9", "hiver", "automne"])).signal
    assert isinstance(signal, Scored), signal
    assert (signal.label, signal.confidence) == ("\u00e9t\u00e9", pytest.approx(0.92))
    assert signal.label_probs["hiver"] == pytest.approx(0.06 / 0.98)


@recorded
@pytest.mark.parametrize(
    ("name", "confidence", "k"),
    [
        ("completions_logprobs_20", math.exp(-1.3066154718399048) + math.exp(-5.690), 20),
        ("completions_logprobs_5_three_tokens", math.exp(-1.360024333000183), 5),
        ("completions_stop_at_newline", math.exp(-1.360024333000183), 5),
        ("completions_temperature_1", math.exp(-1.360024333000183), 10),
        ("native_n_probs", math.exp(-1.360024333000183), 5),
    ],
)
def test_recorded_answers_are_scored(name: str, confidence: float, k: int) -> None:
    signal = signal_of(response(name))
    assert isinstance(signal, Scored)
    assert (signal.label, signal.k) == ("topups", k)
    assert signal.confidence == pytest.approx(confidence, rel=1e-3)


@recorded
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bad_json_field", Reason.ERROR_BODY),
        ("chat_logprobs_only", Reason.NOT_A_LABEL),
        ("chat_no_logprobs", Reason.LOGPROBS_ABSENT),
        ("chat_stream_logprobs_tools", Reason.NOT_A_LABEL),
        ("chat_top_logprobs_20", Reason.NOT_A_LABEL),
        ("chat_top_logprobs_50", Reason.NOT_A_LABEL),
        ("chat_top_without_logprobs", Reason.ERROR_BODY),
        ("completions_list_prompt", Reason.TRUNCATED),
        ("completions_logprobs_0", Reason.LOGPROBS_NULL),
        ("completions_max_tokens_0", Reason.TRUNCATED),
        ("completions_no_logprobs", Reason.LOGPROBS_NULL),
        ("completions_top_k_1", Reason.TRUNCATED),
        ("context_too_long", Reason.ERROR_BODY),
        ("responses_api", Reason.ERROR_BODY),
    ],
)
def test_recorded_answers_without_a_usable_label_say_why(name: str, expected: Reason) -> None:
    assert reason(response(name)) is expected
