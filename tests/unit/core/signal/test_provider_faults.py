"""What providers do wrong: each fault is a typed reason, and never a default confidence."""

from __future__ import annotations

import math
from typing import Any

import pytest

from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from tests.support import bodies
from tests.support.bodies import Body, Tok

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


def first_entry(body: Body) -> Body:
    entry: Body = body["choices"][0]["logprobs"]["content"][0]
    return entry


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (None, Reason.LOGPROBS_NULL),
        ({}, Reason.LOGPROBS_EMPTY),
        ([], Reason.LOGPROBS_EMPTY),
        ({"content": None}, Reason.LOGPROBS_NULL),
        ({"content": []}, Reason.LOGPROBS_EMPTY),
        ({"content": [], "refusal": None}, Reason.LOGPROBS_EMPTY),
        ({"tokens": [], "token_logprobs": [], "top_logprobs": []}, Reason.LOGPROBS_EMPTY),
        ({"tokens": ["refund"], "token_logprobs": [-0.1], "top_logprobs": None}, Reason.NO_ALTERNATIVES),
        ({"tokens": ["refund"], "token_logprobs": [-0.1]}, Reason.NO_ALTERNATIVES),
        (True, Reason.LOGPROBS_EMPTY),
        ("-0.1", Reason.LOGPROBS_EMPTY),
        (0, Reason.LOGPROBS_EMPTY),
    ],
    ids=str,
)
def test_01_absence_is_a_typed_reason_and_names_the_label(logprobs: Any, expected: Reason) -> None:
    body = bodies.chat(REFUND, logprobs=logprobs)
    assert reason(body) is expected
    assert score(body, LABELS).signal.label == "refund"


def test_01_an_absent_key_is_another_thing_than_null() -> None:
    body = bodies.chat(REFUND)
    del body["choices"][0]["logprobs"]
    assert reason(body) is Reason.LOGPROBS_ABSENT
    for shape, *path in (
        (bodies.responses, "output", 1, "content", 0, "logprobs"),
        (bodies.gemini, "candidates", 0, "logprobsResult"),
        (bodies.ollama, "logprobs"),
        (bodies.llama_native, "completion_probabilities"),
    ):
        body = shape(REFUND)
        inner: Any = body
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        assert reason(body) is Reason.LOGPROBS_ABSENT


def test_01_responses_that_were_not_asked_for_logprobs_give_an_empty_list() -> None:
    body = bodies.responses(REFUND)
    body["output"][1]["content"][0]["logprobs"] = []
    assert reason(body) is Reason.LOGPROBS_EMPTY


@pytest.mark.parametrize("floor", [-9999.0, -9999, -12000.0, -100.0, -math.inf, math.nan, None, -(10**400)], ids=str)
def test_05_floors_count_for_no_mass_and_no_entropy(floor: Any) -> None:
    body = bodies.chat(REFUND)
    clean = scored(body)
    first_entry(body)["top_logprobs"] += [{"token": "shipping", "logprob": floor}, {"token": "x"}]
    assert scored(body) == clean


@pytest.mark.parametrize("floor", [-9999.0, -100, -math.inf, math.nan], ids=str)
def test_05_an_answer_whose_own_logprob_is_a_floor_has_no_signal(floor: float) -> None:
    body = bodies.chat([Tok("refund", 0.7, {"billing": 0.2}, listed=False)])
    first_entry(body)["logprob"] = floor
    assert reason(body) is Reason.FLOOR_LOGPROB


def test_05_a_floor_later_in_the_label_is_not_left_out_of_the_mean() -> None:
    body = bodies.chat([Tok("ref", 0.9, {"bill": 0.05}), Tok("und", 0.9, {"use": 0.05})])
    body["choices"][0]["logprobs"]["content"][1] |= {"logprob": -9999.0}
    assert reason(body) is Reason.FLOOR_LOGPROB


def test_05_a_null_logprob_is_taken_from_the_tokens_own_list() -> None:
    body = bodies.chat(REFUND)
    first_entry(body)["logprob"] = None
    assert scored(body).confidence == pytest.approx(0.7)


def test_05_alternatives_that_are_all_floors_are_no_alternatives() -> None:
    body = bodies.chat([Tok("refund", 1.0)])
    first_entry(body)["top_logprobs"] += [{"token": label, "logprob": -9999.0} for label in ("billing", "shipping")]
    assert reason(body) is Reason.NO_ALTERNATIVES


@pytest.mark.parametrize("value", [0.7, 1e-3, 10**400, math.inf, "-0.1", True, [], {}], ids=repr)
def test_06_impossible_logprobs_are_rejected(value: Any) -> None:
    body = bodies.chat(REFUND)
    first_entry(body)["logprob"] = value
    assert reason(body) is Reason.IMPOSSIBLE_LOGPROB
    body = bodies.chat(REFUND)
    first_entry(body)["top_logprobs"][1]["logprob"] = value
    assert reason(body) is Reason.IMPOSSIBLE_LOGPROB


def test_06_rounding_above_zero_is_zero() -> None:
    body = bodies.chat([Tok("refund", 1.0, {"billing": 1e-9})])
    first_entry(body)["logprob"] = first_entry(body)["top_logprobs"][0]["logprob"] = 9e-7
    assert scored(body).token_confidence == 1.0


def test_06_a_probability_above_one_is_rejected() -> None:
    body = bodies.llama_after_sampling(REFUND)
    body["completion_probabilities"][0]["prob"] = 1.2
    assert reason(body) is Reason.IMPOSSIBLE_LOGPROB


def test_06_masses_that_sum_to_more_than_one_are_rejected() -> None:
    assert reason(bodies.chat([Tok("refund", 0.7, {"billing": 0.4})])) is Reason.IMPOSSIBLE_MASS
    signal = scored(bodies.chat([Tok("refund", 0.8, {"billing": 0.205})]))
    assert (signal.top_k_mass, signal.out_of_label) == (1.0, 0.0)
    assert signal.confidence == pytest.approx(0.8 / 1.005)


def test_07_a_logprob_that_contradicts_its_own_list_is_misaligned() -> None:
    body = bodies.chat(REFUND)
    first_entry(body)["logprob"] = math.log(0.5)
    assert reason(body) is Reason.MISALIGNED
    first_entry(body)["logprob"] = -9999.0
    assert reason(body) is Reason.MISALIGNED
    first_entry(body)["logprob"] = math.log(0.7) + 0.01
    assert scored(body).label == "refund"


def test_07_a_list_of_another_position_is_misaligned() -> None:
    """The list was shifted by one: it has no room for the token that was written."""
    shifted = Tok("refund", 0.7, {"\n": 0.95, " ": 0.04}, listed=False)
    assert reason(bodies.chat([shifted])) is Reason.MISALIGNED


@pytest.mark.parametrize("text", ["billing", "refunds", "the refund", "refund billing"])
def test_07_tokens_that_do_not_spell_the_answer_are_misaligned(text: str) -> None:
    assert reason(bodies.chat(REFUND, text)) is Reason.MISALIGNED


def test_07_tokens_that_are_missing_at_either_end_are_misaligned() -> None:
    assert reason(bodies.chat([Tok("und", 0.7, {"x": 0.1})], "refund")) is Reason.MISALIGNED
    assert reason(bodies.chat([Tok("ref", 0.7, {"x": 0.1})], "refund")) is Reason.MISALIGNED


def test_07_lists_of_different_lengths_are_misaligned() -> None:
    two = [Tok("ref", 0.7, {"bill": 0.2}), Tok("und", 0.9, {"use": 0.05})]
    for uneven in (
        {"token_logprobs": [math.log(0.7)]},
        {"token_logprobs": [math.log(0.7)] * 3},
        {"top_logprobs": [two[1].top]},
        {"top_logprobs": [token.top for token in (*two, *two)]},
    ):
        assert reason(bodies.legacy(two, **uneven)) is Reason.MISALIGNED
    assert scored(bodies.legacy(two, top_logprobs=[two[0].top])).label == "refund", "it lists the token it belongs to"
    body = bodies.gemini(two)
    body["candidates"][0]["logprobsResult"]["topCandidates"].pop(0)
    assert reason(body) is Reason.MISALIGNED


def test_08_the_written_token_need_not_be_in_the_list() -> None:
    signal = scored(bodies.chat([Tok("refund", 0.1, {"billing": 0.6, " Refund": 0.05}, listed=False)]))
    assert signal.confidence == pytest.approx(0.15)
    assert signal.top_k_mass == pytest.approx(0.75)
    assert signal.label_probs["billing"] == pytest.approx(0.8)


def test_08_a_short_unsorted_list_reads_the_same() -> None:
    body = bodies.chat(REFUND)
    first_entry(body)["top_logprobs"].reverse()
    assert scored(body) == scored(bodies.chat(REFUND))
    first_entry(body)["top_logprobs"].pop(0)
    assert scored(body).top_k_mass == pytest.approx(0.9)


def test_08_the_written_token_is_not_counted_twice_when_its_list_spells_it_without_the_space() -> None:
    body = bodies.legacy([Tok(" refund", 0.4, {"billing": 0.3})])
    top = body["choices"][0]["logprobs"]["top_logprobs"][0]
    top["refund"] = top.pop(" refund")
    assert scored(body).confidence == pytest.approx(0.4)


def test_a_token_that_is_listed_twice_counts_once() -> None:
    body = bodies.chat(REFUND)
    first_entry(body)["top_logprobs"] *= 3
    assert scored(body) == scored(bodies.chat(REFUND))


def test_a_token_that_is_listed_with_two_numbers_counts_with_the_larger() -> None:
    body = bodies.chat(REFUND)
    for share in (0.01, 0.1):
        first_entry(body)["top_logprobs"].append({"token": "billing", "logprob": math.log(share)})
    assert scored(body) == scored(bodies.chat(REFUND))
