"""The decision of both tiers at its boundaries, and that nothing without a signal is ever accepted."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import Reason, Scored
from streams.core.policy.policy import (
    Action,
    Basis,
    BigRule,
    CheapRule,
    Decision,
    Policy,
    decide_big,
    decide_cheap,
    numbers,
    uncertainty,
)
from tests.support.messages import call, scored, unscorable

DEFAULT = Policy()
JUST = 1e-9
BASES: tuple[Basis, ...] = ("label", "token", "min", "mean")


def two_labels(**changes: Any) -> Scored:
    return scored(label_probs={"refund": 0.55, "shipping": 0.45}, **changes)


class TestCheap:
    @pytest.mark.parametrize(
        ("signal", "action", "reasons"),
        [
            (scored(confidence=0.65, entropy=0.0), "accept", ()),
            (scored(confidence=0.65 - JUST, entropy=0.0), "escalate", ("low_confidence",)),
            (scored(confidence=1.0, entropy=0.80 - JUST), "accept", ()),
            (scored(confidence=1.0, entropy=0.80), "escalate", ("high_entropy",)),
            (scored(confidence=0.2, entropy=1.5), "escalate", ("low_confidence", "high_entropy")),
            (two_labels(confidence=0.55, entropy=0.6), "accept", ()),
            (two_labels(confidence=0.55 - JUST, entropy=0.6), "escalate", ("low_confidence",)),
            (scored(top_k_mass=0.95), "accept", ()),
            (scored(top_k_mass=0.95 - JUST), "escalate", ("low_top_k_mass",)),
            (scored(confidence=1.0, entropy=0.0, top_k_mass=0.5), "escalate", ("low_top_k_mass",)),
        ],
    )
    def test_boundaries(self, signal: Scored, action: Action, reasons: tuple[str, ...]) -> None:
        decision = decide_cheap(DEFAULT, "t", call(signal=signal))
        assert (decision.action, decision.reasons) == (action, reasons)
        assert (decision.confidence, decision.entropy) == (signal.confidence, signal.entropy)

    @pytest.mark.parametrize("reason", Reason)
    def test_no_signal_is_escalated_with_its_reason_even_if_the_text_names_a_label(self, reason: Reason) -> None:
        decision = decide_cheap(DEFAULT, "t", call(signal=unscorable(reason, label="refund")))
        assert decision == Decision("escalate", (f"no_signal:{reason.value}",))
        assert decision.confidence is None

    def test_the_floor_for_two_labels_counts_labels_and_not_guesses(self) -> None:
        certain_of_two = scored(
            confidence=0.6, entropy=0.1, label_probs={"refund": 0.6, "shipping": 0.4, "account": 0.0}
        )
        assert decide_cheap(DEFAULT, "t", call(signal=certain_of_two)).action == "escalate"

    @pytest.mark.parametrize(("entropy", "action"), [(1.0 - JUST, "escalate"), (1.0, "review"), (2.0, "review")])
    def test_abstention(self, entropy: float, action: Action) -> None:
        policy = Policy(cheap=CheapRule(abstain_entropy=1.0))
        decision = decide_cheap(policy, "t", call(signal=scored(entropy=entropy)))
        assert decision.action == action
        assert ("abstained" in decision.reasons) == (action == "review")

    def test_abstention_does_not_save_an_answer_without_a_signal_from_the_big_model(self) -> None:
        assert (
            decide_cheap(Policy(cheap=CheapRule(abstain_entropy=0.0)), "t", call(signal=unscorable())).action
            == "escalate"
        )

    def test_abstention_under_the_entropy_of_accept_still_asks_a_person(self) -> None:
        policy = Policy(cheap=CheapRule(abstain_entropy=0.2))
        assert decide_cheap(policy, "t", call(signal=scored(entropy=0.3))) == Decision(
            "review", ("abstained",), 0.9, 0.3
        )


class TestAudit:
    def test_no_argument_of_a_decision_has_a_default(self) -> None:
        """A default id once drew the same lot for all rows."""
        for decide in (decide_cheap, decide_big):
            parameters = inspect.signature(decide).parameters.values()
            assert all(parameter.default is inspect.Parameter.empty for parameter in parameters)

    def test_draws_about_the_share_and_the_same_tickets_each_time(self) -> None:
        policy = Policy(audit_share=0.1)
        ids = [f"ticket-{number}" for number in range(5_000)]
        drawn = [key for key in ids if decide_cheap(policy, key, call(signal=scored())).action == "review"]
        # Four standard deviations of a binomial count.
        assert abs(len(drawn) - 500) < 4 * math.sqrt(5_000 * 0.1 * 0.9)
        assert drawn == [key for key in ids if decide_cheap(policy, key, call(signal=scored())).action == "review"]
        assert decide_cheap(policy, drawn[0], call(signal=scored())).reasons == ("audit",)

    def test_a_larger_share_draws_the_same_tickets_and_more(self) -> None:
        ids = [str(number) for number in range(2_000)]

        def drawn(share: float) -> set[str]:
            return {
                key
                for key in ids
                if decide_cheap(Policy(audit_share=share), key, call(signal=scored())).action == "review"
            }

        assert drawn(0.05) < drawn(0.2) < drawn(1.0) == set(ids)
        assert drawn(0.0) == set()

    def test_draws_from_accepted_answers_only(self) -> None:
        policy = Policy(audit_share=1.0)
        assert decide_cheap(policy, "t", call(signal=scored(confidence=0.1))).action == "escalate"
        assert decide_cheap(policy, "t", call(signal=unscorable())).action == "escalate"


class TestBig:
    @pytest.mark.parametrize(
        ("signal", "cheap_label", "reasons"),
        [
            (scored(confidence=0.65, entropy=1.20), None, ()),
            (scored(confidence=0.65 - JUST, entropy=0.0), None, ("low_confidence",)),
            (scored(entropy=1.20 + JUST), None, ("high_entropy",)),
            (scored(entropy=0.80 - JUST), "shipping", ()),
            (scored(entropy=0.80), "shipping", ("tiers_disagree",)),
            (scored(entropy=1.20), "refund", ()),
            (scored(entropy=1.30), "shipping", ("high_entropy", "tiers_disagree")),
            (two_labels(confidence=0.55), None, ()),
            (two_labels(confidence=0.55 - JUST), None, ("low_confidence",)),
            (scored(top_k_mass=0.95 - JUST), None, ("low_top_k_mass",)),
        ],
    )
    def test_boundaries(self, signal: Scored, cheap_label: str | None, reasons: tuple[str, ...]) -> None:
        decision = decide_big(DEFAULT, cheap_label, call("big", signal))
        assert (decision.action, decision.reasons) == ("review" if reasons else "accept", reasons)

    @pytest.mark.parametrize("reason", Reason)
    def test_no_signal_goes_to_a_person_even_where_both_tiers_name_one_label(self, reason: Reason) -> None:
        decision = decide_big(DEFAULT, "refund", call("big", unscorable(reason, label="refund")))
        assert decision == Decision("review", (f"no_signal:{reason.value}",))


class TestBasis:
    SIGNAL = scored(
        confidence=0.9, entropy=0.1, token_confidence=0.8, token_entropy=0.2, min_logprob=-1.0, mean_logprob=-0.5
    )

    @pytest.mark.parametrize(
        ("basis", "expected"),
        [
            ("label", (0.9, 0.1)),
            ("token", (0.8, 0.2)),
            ("min", (math.exp(-1.0), 0.2)),
            ("mean", (math.exp(-0.5), 0.2)),
        ],
    )
    def test_numbers(self, basis: Basis, expected: tuple[float, float]) -> None:
        assert numbers(self.SIGNAL, basis) == expected
        for decision in (
            decide_cheap(Policy(basis=basis), "t", call(signal=self.SIGNAL)),
            decide_big(Policy(basis=basis), None, call("big", self.SIGNAL)),
        ):
            assert (decision.confidence, decision.entropy) == expected
            assert decision.action == ("accept" if expected[0] >= 0.65 else decision.action)
            assert ("low_confidence" in decision.reasons) == (expected[0] < 0.65)

    @pytest.mark.parametrize("basis", BASES)
    def test_little_mass_is_never_accepted_on_any_basis(self, basis: Basis) -> None:
        sure = scored(confidence=1.0, entropy=0.0, token_confidence=1.0, token_entropy=0.0, min_logprob=0.0,
                      mean_logprob=0.0, top_k_mass=0.9)  # fmt: skip
        assert decide_cheap(Policy(basis=basis), "t", call(signal=sure)).action == "escalate"
        assert decide_big(Policy(basis=basis), "refund", call("big", sure)).action == "review"


class TestUncertainty:
    def test_is_the_last_answers_entropy(self) -> None:
        sure = scored(entropy=0.4, top_k_mass=1.0, out_of_label=0.0)
        assert uncertainty([call(signal=scored(entropy=0.9)), call("big", sure)], 6) == pytest.approx(0.4)

    def test_mass_that_fits_no_label_is_doubt(self) -> None:
        one_label = scored(entropy=0.0, top_k_mass=1.0, out_of_label=0.9)
        assert uncertainty([call(signal=one_label)], 6) == pytest.approx(-0.1 * math.log(0.1) - 0.9 * math.log(0.9))

    def test_disagreement_is_doubt(self) -> None:
        same = [call(signal=scored(label="refund")), call("big", scored(label="refund"))]
        other = [call(signal=scored(label="shipping")), call("big", scored(label="refund"))]
        assert uncertainty(other, 6) == pytest.approx(uncertainty(same, 6) + math.log(2))

    def test_is_the_greatest_there_can_be_without_a_signal(self) -> None:
        assert uncertainty([call(signal=scored(entropy=0.9)), call("big", unscorable())], 6) == math.log(6)
        assert uncertainty([], 6) == math.log(6)
        assert uncertainty([], 0) == math.log(2)


class TestPolicy:
    @pytest.mark.parametrize(
        "values",
        [
            {"unknown": 1},
            {"cheap": {"min_confidense": 0.5}},
            {"big": {"abstain_entropy": 1.0}},
            {"basis": "logit"},
            {"min_top_k_mass": 1.1},
            {"cheap": {"min_confidence": -0.1}},
            {"cheap": {"max_entropy": float("nan")}},
            {"big": {"max_entropy": float("inf")}},
            {"audit_share": 2},
            {"id": ""},
        ],
    )
    def test_takes_no_unknown_key_and_no_impossible_value(self, values: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Policy.model_validate(values)

    def test_defaults_are_those_of_the_design(self) -> None:
        assert CheapRule() == CheapRule(min_confidence=0.65, min_confidence_two_labels=0.55, max_entropy=0.80)
        assert BigRule() == BigRule(
            min_confidence=0.65, min_confidence_two_labels=0.55, max_entropy=1.20, disagreement_entropy=0.80
        )
        assert (DEFAULT.min_top_k_mass, DEFAULT.audit_share, DEFAULT.cheap.abstain_entropy) == (0.95, 0.0, None)

    def test_is_frozen_and_survives_a_file(self) -> None:
        with pytest.raises(ValidationError):
            DEFAULT.id = "other"  # type: ignore[misc]
        assert Policy.model_validate(DEFAULT.model_dump(mode="json")) == DEFAULT
