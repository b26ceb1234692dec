"""Answers as tokens: honest masses, spelled labels, greedy and sampled choices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import SettingsError
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.tokens import END, LABEL_MASS, Answer, Decoding, OutputLayer, label_tokens

ALL = 100_000
QUEUES = ("account", "cards", "fees", "payments", "refunds", "security", "topups", "transfers")

label_sets = st.lists(
    st.text(st.sampled_from("abcABC_ -éß日7"), min_size=1, max_size=14).filter(lambda label: label == label.strip()),
    min_size=2,
    max_size=40,
    unique_by=str.casefold,
)


def ask(labels: list[str] | tuple[str, ...], logits: np.ndarray, decoding: Decoding, seed: int = 0) -> Answer:
    return OutputLayer.of(labels).answer(log_softmax(logits), decoding, np.random.default_rng(seed))


def masses(token: tuple[tuple[str, float], ...], heads: set[str]) -> dict[str, float]:
    """The mass of every first token, its spellings summed."""
    found = dict.fromkeys(heads, 0.0)
    for text, logprob in token:
        if (head := text.strip().casefold()) in found:
            found[head] += math.exp(logprob)
    return found


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("account", ("account", "")),
        ("transfers", ("trans", "fers")),
        ("lost_or_stolen_card", ("lost", "_or_stolen_card")),
        ("card payment", ("card", " payment")),
        ("cancellation_request", ("cancellation", "_request")),
        ("reverted_card_payment?", ("reverted", "_card_payment?")),
        ("Überweisung", ("Überwe", "isung")),
        ("日本", ("日本", "")),
    ],
)
def test_a_label_is_one_or_two_tokens(label: str, expected: tuple[str, str]) -> None:
    assert label_tokens(label) == expected
    assert "".join(expected) == label


@settings(max_examples=60, deadline=None)
@given(label_sets, st.integers(0, 2**32))
def test_summing_spellings_gives_the_label_distribution_back(labels: list[str], seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 2, len(labels))
    answer = ask(labels, logits, Decoding(top=ALL))
    expected: dict[str, float] = {}
    for label, log_prob in zip(labels, log_softmax(logits), strict=True):
        head = label_tokens(label)[0].casefold()
        expected[head] = expected.get(head, 0.0) + LABEL_MASS * math.exp(log_prob)
    assert masses(answer.tokens[0].top, set(expected)) == pytest.approx(expected)
    for token in answer.tokens:
        assert sum(math.exp(logprob) for _, logprob in token.top) == pytest.approx(1.0)


@settings(max_examples=60, deadline=None)
@given(label_sets, st.integers(0, 2**32))
def test_greedy_tokens_are_the_likeliest_and_spell_a_label(labels: list[str], seed: int) -> None:
    logits = np.random.default_rng(seed).normal(0, 6, len(labels))
    answer = ask(labels, logits, Decoding(top=20))
    for token in answer.tokens:
        assert token.top[0] == (token.token, token.logprob)
        assert [logprob for _, logprob in token.top] == sorted((lp for _, lp in token.top), reverse=True)
        assert len({text for text, _ in token.top}) == len(token.top)
    assert answer.text == "".join(token.token for token in answer.tokens)
    heads = {label_tokens(label)[0].casefold() for label in labels}
    if answer.tokens[0].token.casefold() in heads:
        assert answer.text.casefold() in {label.casefold() for label in labels}
    else:
        assert len(answer.tokens) == 1, "what begins no label ends at once"


def test_the_top_twenty_are_full_and_cover_nearly_everything() -> None:
    for sharpness in (0.0, 1.0, 8.0):
        (token, *_) = ask(QUEUES, sharpness * np.eye(8)[2], Decoding(top=20)).tokens
        assert len(token.top) == 20
        assert 0.97 < sum(math.exp(logprob) for _, logprob in token.top) < 0.9995


def test_a_sure_answer_is_sure_in_its_first_token() -> None:
    (token,) = ask(QUEUES, 30.0 * np.eye(8)[0], Decoding(top=20)).tokens
    assert token.token == "account"
    assert 0.9 < math.exp(token.logprob) < LABEL_MASS


def test_two_tokens_the_second_is_near_certain() -> None:
    answer = ask(QUEUES, 20.0 * np.eye(8)[7], Decoding(top=20))
    assert [token.token for token in answer.tokens] == ["trans", "fers"]
    assert math.exp(answer.tokens[1].logprob) > 0.99
    assert len(answer.tokens[1].top) == 20
    assert not answer.cut


def test_labels_that_begin_alike_share_the_first_token_and_part_at_the_second() -> None:
    probabilities = np.array([0.5, 0.2, 0.3])
    answer = ask(["lost_card", "lost_phone", "fees"], np.log(probabilities), Decoding(top=ALL))
    assert masses(answer.tokens[0].top, {"lost", "fees"}) == pytest.approx(
        {"lost": LABEL_MASS * 0.7, "fees": LABEL_MASS * 0.3}
    )
    second = {text: math.exp(logprob) for text, logprob in answer.tokens[1].top}
    assert answer.text == "lost_card"
    assert second["_card"] / second["_phone"] == pytest.approx(5 / 2)
    assert second["_card"] + second["_phone"] > 0.99


def test_a_label_that_begins_another_ends_the_answer_there() -> None:
    labels = ["card", "card_arrival"]
    assert ask(labels, np.array([2.0, 0.0]), Decoding()).text == "card"
    longer = ask(labels, np.array([0.0, 2.0]), Decoding(top=3))
    assert longer.text == "card_arrival"
    assert longer.tokens[1].top[1][0] == END
    assert not ask(labels, np.array([2.0, 0.0]), Decoding(max_tokens=1)).cut


def test_the_token_limit_cuts() -> None:
    transfers = 9.0 * np.eye(8)[7]
    assert ask(QUEUES, transfers, Decoding(max_tokens=1)).text == "trans"
    assert ask(QUEUES, transfers, Decoding(max_tokens=1)).cut
    assert ask(QUEUES, transfers, Decoding(max_tokens=0)) == Answer((), cut=True)
    assert not ask(QUEUES, 9.0 * np.eye(8)[0], Decoding(max_tokens=1)).cut


def test_no_other_token_could_be_taken_for_the_beginning_of_a_label() -> None:
    labels = ["invoice", "other", "yesterday", "-minus", "The thing", "billing"]
    (token, *_) = ask(labels, np.zeros(6), Decoding(top=ALL)).tokens
    heads = {label_tokens(label)[0].casefold() for label in labels}
    for text, _ in token.top:
        start = text.strip().casefold()
        owners = [label for label in labels if start and label.casefold().startswith(start)]
        assert start in heads or not owners, (text, owners)


def test_temperature_samples_but_reports_the_models_own_logprobs() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    layer, rng = OutputLayer.of(["one", "two", "three"]), np.random.default_rng(5)
    warm = [layer.answer(logits, Decoding(top=5, temperature=1.0), rng) for _ in range(2000)]
    greedy = layer.answer(logits, Decoding(top=5), rng)
    assert {answer.tokens[0].top for answer in warm} == {greedy.tokens[0].top}
    share = sum(answer.text.strip().casefold() == "two" for answer in warm) / len(warm)
    assert share == pytest.approx(0.3 * LABEL_MASS, abs=0.03)


def test_a_sampling_seed_repeats_the_choice() -> None:
    layer, rng = OutputLayer.of(["one", "two", "three"]), np.random.default_rng(5)
    texts = [layer.answer(np.zeros(3), Decoding(temperature=1.0, seed=-11), rng).text for _ in range(20)]
    assert len(set(texts)) == 1


def test_jitter_moves_the_logprobs_a_little_and_keeps_them_normalised() -> None:
    layer, rng = OutputLayer.of(QUEUES), np.random.default_rng(0)
    log_probs = log_softmax(3.0 * np.eye(8)[0])
    own = [layer.answer(log_probs, Decoding(top=ALL), rng, 0.01).tokens[0] for _ in range(200)]
    assert 0.0005 < np.std([token.logprob for token in own]) < 0.02
    assert all(math.isclose(sum(math.exp(lp) for _, lp in token.top), 1.0, abs_tol=1e-9) for token in own)


def test_drift_moves_the_output_layer_and_repeats() -> None:
    layer, rng = OutputLayer.of(QUEUES), np.random.default_rng(0)
    flat = log_softmax(np.zeros(8))
    still = dict(layer.answer(flat, Decoding(top=ALL), rng).tokens[0].top)
    moved = dict(layer.drifted(0.02, seed=1).answer(flat, Decoding(top=ALL), rng).tokens[0].top)
    again = dict(layer.drifted(0.02, seed=1).answer(flat, Decoding(top=ALL), rng).tokens[0].top)
    assert moved == again
    assert 0.01 < np.sqrt(np.mean([(moved[token] - still[token]) ** 2 for token in still])) < 0.2


@pytest.mark.parametrize("labels", [["one"], ["one", "One"], ["one", ""], ["one", " two"]])
def test_refuses_labels_that_cannot_be_told_apart(labels: list[str]) -> None:
    with pytest.raises(SettingsError, match="label"):
        OutputLayer.of(labels)


def test_vanishing_probabilities_stay_finite() -> None:
    (token, *_) = ask(QUEUES, 5000.0 * np.eye(8)[1], Decoding(top=ALL)).tokens
    assert token.token == "cards"
    assert all(math.isfinite(logprob) for _, logprob in token.top)
