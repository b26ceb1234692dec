"""The prompt language model: tokens that spell the text, probabilities that sum to one, gibberish that surprises."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.sandbox.model_server.ngram import NgramModel, text_tokens

TEXTS = ["where is my card", "where is my parcel", "is my card lost", "my card does not work", "what is my balance"] * 3


def mean_logprob(model: NgramModel, text: str) -> float:
    tokens = text_tokens(text)
    return sum(model.log_prob(tokens, i) for i in range(1, len(tokens))) / (len(tokens) - 1)


@given(st.text())
def test_tokens_spell_the_text(text: str) -> None:
    assert "".join(text_tokens(text)) == text


def test_tokens_are_about_four_characters_long() -> None:
    text = "I have been waiting for my transfer since Tuesday, could you please check what happened?"
    assert 3.0 < len(text) / len(text_tokens(text)) < 5.5


@given(st.text(min_size=2))
def test_no_text_is_impossible(text: str) -> None:
    model, tokens = NgramModel.of(TEXTS), text_tokens(text)
    for position in range(len(tokens)):
        assert -100.0 < model.log_prob(tokens, position) < 0.0


@pytest.mark.parametrize("context", [[], ["where"], ["where", " is"], [" never", " seen"]])
def test_known_tokens_share_no_more_than_everything(context: list[str]) -> None:
    model = NgramModel.of(TEXTS)
    known = {token for text in TEXTS for token in text_tokens(text)}
    total = sum(math.exp(model.log_prob([*context, token], len(context))) for token in known)
    assert 0.5 < total <= 1.0


def test_equals_witten_bell_by_hand() -> None:
    model = NgramModel.of(["a b", "a b", "a c"])
    spelling = math.exp(2 * math.log(0.5) + 2 * math.log(0.5 / 128))
    unigram = (2 + 3 * spelling) / (6 + 3)
    assert model.log_prob(["a", " b"], 1) == pytest.approx(math.log((2 + 2 * unigram) / (3 + 2)))


def test_real_messages_surprise_less_than_shuffled_ones_and_those_less_than_gibberish() -> None:
    model = NgramModel.of(TEXTS)
    real, shuffled, gibberish = (
        mean_logprob(model, text) for text in ("where is my card", "card my is where", "zxq vwk jjp qqz")
    )
    assert real > shuffled > gibberish


def test_likely_tokens_come_highest_first_with_their_own_log_probs() -> None:
    model = NgramModel.of(TEXTS)
    tokens = text_tokens("where is my card")
    likely = model.likeliest(tokens, 3, 4)
    assert next(iter(likely)) == " card"
    assert list(likely.values()) == sorted(likely.values(), reverse=True)
    for token, log_prob in likely.items():
        assert log_prob == pytest.approx(model.log_prob([*tokens[:3], token], 3))
    assert model.likeliest(tokens, 3, 0) == {}
    assert len(model.likeliest(["never", " seen"], 2, 3)) == 3
