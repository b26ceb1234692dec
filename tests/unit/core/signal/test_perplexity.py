"""Surprise of texts and the risk that comes of it, on both sides."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from schemas import Measured, NoPerplexity, Unmeasured
from streams.core.signal.perplexity import (
    MOST_SURPRISE,
    PerplexityReason,
    PerplexityRule,
    fit_rule,
    measure,
    read_perplexity,
    risk,
)

RULE = PerplexityRule(min_tokens=4, window_tokens=2, usual=4.0, low=1.0, high=8.0, window=10.0)


def measured(mean: float, window: float | None = None) -> Measured:
    return Measured(tokens=20, mean=mean, window=window, window_tokens=2)


class TestMeasure:
    def test_the_mean_is_of_the_negative_logprobs(self) -> None:
        found = measure([-1.0, -2.0, -3.0, -6.0], RULE)
        assert found == Measured(tokens=4, mean=3.0, window=4.5, window_tokens=2)

    def test_the_window_finds_a_short_suffix_that_the_mean_hides(self) -> None:
        found = measure([-2.0] * 100 + [-12.0, -12.0], RULE)
        assert isinstance(found, Measured)
        assert found.mean < 2.3
        assert found.window == pytest.approx(12.0)

    def test_a_short_text_is_not_judged(self) -> None:
        found = measure([-9.0] * 3, RULE)
        assert isinstance(found, Unmeasured)
        assert found.reason is NoPerplexity.TOO_SHORT

    def test_a_text_shorter_than_a_window_has_none(self) -> None:
        found = measure([-1.0] * 4, RULE.model_copy(update={"window_tokens": 5}))
        assert isinstance(found, Measured)
        assert found.window is None

    def test_a_floor_counts_as_much_as_can_be_and_no_more(self) -> None:
        assert measure([-math.inf] * 4, RULE) == measure([-90.0] * 4, RULE)
        assert measure([-math.inf, 0.0, 0.0, 0.0], RULE) == Measured(
            tokens=4, mean=MOST_SURPRISE / 4, window=MOST_SURPRISE / 2, window_tokens=2
        )


class TestRisk:
    @pytest.mark.parametrize(
        ("perplexity", "score", "reasons"),
        [
            (measured(4.0, 4.0), 0.0, ()),
            (measured(2.5, 4.0), 0.5, ()),
            (measured(1.0, 4.0), 1.0, ("perplexity_low",)),
            (measured(0.0, 4.0), 4 / 3, ("perplexity_low",)),
            (measured(6.0, 4.0), 0.5, ()),
            (measured(8.0, 4.0), 1.0, ("perplexity_high",)),
            (measured(5.0, 10.0), 1.0, ("perplexity_window",)),
            (measured(9.0, 12.0), 4 / 3, ("perplexity_high", "perplexity_window")),
            (measured(4.0, None), 0.0, ()),
        ],
    )
    def test_it_is_the_largest_of_its_sides(self, perplexity: Measured, score: float, reasons: tuple[str, ...]) -> None:
        found = risk(RULE, perplexity)
        assert found.score == pytest.approx(score)
        assert found.reasons == reasons

    def test_the_reasons_follow_the_risk_that_an_operator_takes(self) -> None:
        assert risk(RULE.model_copy(update={"review_risk": 0.5}), measured(6.0)).reasons == ("perplexity_high",)
        assert risk(RULE.model_copy(update={"review_risk": 2.0}), measured(9.0)).reasons == ()

    def test_a_reason_is_one_of_the_known_ones(self) -> None:
        found = [*risk(RULE, measured(9.0, 12.0)).reasons, *risk(RULE, measured(1.0, 4.0)).reasons]
        assert {type(reason) for reason in found} == {PerplexityReason}
        assert set(found) == set(PerplexityReason)

    def test_what_was_not_measured_and_a_rule_without_limits_are_no_risk(self) -> None:
        assert risk(RULE, Unmeasured(reason=NoPerplexity.TOO_SHORT)).score == 0.0
        assert risk(PerplexityRule(), measured(100.0, 100.0)).reasons == ()

    @pytest.mark.parametrize(
        "values",
        [{"low": 1.0}, {"usual": 1.0, "low": 2.0}, {"usual": 5.0, "high": 4.0}, {"usual": 5.0, "window": 5.0}],
    )
    def test_limits_out_of_order_are_refused(self, values: dict[str, float]) -> None:
        with pytest.raises(ValidationError):
            PerplexityRule(**values)


class TestFit:
    def test_the_limits_flag_the_share_that_was_asked_for(self) -> None:
        ordinary = [measured(1 + i / 1000, 2 + i / 1000) for i in range(1001)]
        rule = fit_rule(ordinary, flagged=0.02)
        assert (rule.usual, rule.low, rule.high, rule.window) == pytest.approx((1.5, 1.02, 1.98, 2.98))
        flagged = [reason for each in ordinary for reason in risk(rule, each).reasons]
        assert {name: flagged.count(name) for name in set(flagged)} == {
            "perplexity_low": 21,
            "perplexity_high": 21,
            "perplexity_window": 21,
        }

    def test_too_few_messages_have_no_tails(self) -> None:
        with pytest.raises(ValueError, match="100 messages"):
            fit_rule([measured(3.0, 4.0)] * 99)

    def test_windows_of_different_sizes_do_not_mix(self) -> None:
        other = Measured(tokens=9, mean=1.0, window=1.0, window_tokens=3)
        with pytest.raises(ValueError, match=r"\[2, 3\]"):
            fit_rule([measured(3.0, 4.0), other] * 100)


def test_a_body_is_read_and_measured_in_one() -> None:
    tokens, logprobs = ["a", "b", "c", "d", "e"], [None, -1.0, -2.0, -3.0, -6.0]
    body = {"choices": [{"text": "", "logprobs": {"tokens": tokens, "token_logprobs": logprobs}}]}
    assert read_perplexity(body, "abcde", RULE) == measure([-1.0, -2.0, -3.0, -6.0], RULE)
    other = read_perplexity(body, "edcba", RULE)
    assert isinstance(other, Unmeasured)
    assert other.reason is NoPerplexity.NOT_THE_PROMPT
