from __future__ import annotations

import datetime

import pytest

from streams.core.policy.fitted import READING, Fitted, FittedTier, refuse_others
from streams.core.policy.policy import Policy, decide_big, decide_cheap
from streams.errors import SettingsError
from tests.support.answers import PROMISE
from tests.support.messages import LABELS, scored, unscorable


def tier(name: str) -> FittedTier:
    return FittedTier(
        model_asked=f"{name}-model", model_returned=f"{name}-model-2026-08-01", prompt_hash="0123456789ab"
    )


FITTED = Fitted(
    reading=READING, data_hash="0" * 32, records=1000, date=datetime.date(2026, 8, 1), labels=LABELS, cheap=tier("cheap"),
    big=tier("big"), promise=PROMISE, figures={"accepted_error": 0.03},
)  # fmt: skip
POLICY = Policy(fitted=FITTED)


def test_its_own_models_prompt_and_labels_are_taken_in_any_order_of_the_labels() -> None:
    refuse_others(FITTED, LABELS[::-1], "0123456789ab", "cheap-model", "big-model")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((("refund", "shipping"), "0123456789ab", "cheap-model", "big-model"), "other labels .*'account'"),
        ((LABELS, "ffff", "cheap-model", "big-model"), "prompt 0123456789ab of the cheap tier, not ffff"),
        ((LABELS, "0123456789ab", "other", "big-model"), "cheap model 'cheap-model', not 'other'"),
        ((LABELS, "0123456789ab", "cheap-model", "other"), "big model 'big-model', not 'other'"),
    ],
)
def test_any_other_is_refused_with_one_line(arguments: tuple[tuple[str, ...], str, str, str], match: str) -> None:
    with pytest.raises(SettingsError, match=match) as told:
        refuse_others(FITTED, *arguments)
    assert "\n" not in str(told.value)
    assert "hedgerow calibrate" in str(told.value)


@pytest.mark.parametrize("reading", [1, 2, READING + 1])
def test_a_policy_fitted_with_another_reading_is_refused(reading: int) -> None:
    other = FITTED.model_copy(update={"reading": reading})
    with pytest.raises(SettingsError, match=f"reading {reading} .*: calibrate again"):
        refuse_others(other, LABELS, "0123456789ab", "cheap-model", "big-model")


def test_a_policy_file_that_says_no_reading_is_of_the_first() -> None:
    assert Fitted.model_validate_json(FITTED.model_dump_json(exclude={"reading"})).reading == 1


def test_an_answer_of_the_fitted_model_is_accepted() -> None:
    assert decide_cheap(POLICY, scored(), model="cheap-model-2026-08-01").action == "accept"
    assert decide_big(POLICY, scored(), None, "big-model-2026-08-01").action == "accept"


@pytest.mark.parametrize("model", ["cheap-model", "cheap-model-2026-09-01", "", None])
def test_an_answer_of_any_other_model_is_never_accepted(model: str | None) -> None:
    cheap, big = decide_cheap(POLICY, scored(), model=model), decide_big(POLICY, scored(), None, model)
    assert (cheap.action, cheap.reasons) == ("escalate", ("model_not_fitted",))
    assert (big.action, big.reasons) == ("review", ("model_not_fitted",))


def test_a_policy_fitted_where_no_model_id_came_back_takes_none() -> None:
    nameless = FITTED.model_copy(update={"cheap": tier("cheap").model_copy(update={"model_returned": None})})
    policy = Policy(fitted=nameless)
    assert decide_cheap(policy, scored(), model=None).action == "accept"
    assert decide_cheap(policy, scored(), model="cheap-model").action == "escalate"


def test_a_policy_that_was_not_fitted_asks_for_no_model() -> None:
    assert decide_cheap(Policy(), scored(), model="any").action == "accept"


def test_no_signal_stays_no_signal() -> None:
    assert decide_cheap(POLICY, unscorable(), model="cheap-model-2026-08-01").action == "escalate"
    assert decide_big(POLICY, unscorable(), None, "big-model-2026-08-01").action == "review"
