from __future__ import annotations

import datetime

import pytest

from streams.core.policy.fitted import READING, Fitted, FittedMemory, FittedTier, refuse_other_memory, refuse_others
from streams.core.policy.policy import Policy, decide_big, decide_cheap
from streams.core.signal.score import Reading
from streams.errors import SettingsError
from tests.support.answers import PROMISE
from tests.support.messages import LABELS, call, scored, unscorable


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
    assert decide_cheap(POLICY, "t", call(signal=scored(), model_returned="cheap-model-2026-08-01")).action == "accept"
    assert decide_big(POLICY, None, call("big", scored(), model_returned="big-model-2026-08-01")).action == "accept"


@pytest.mark.parametrize("model", ["cheap-model", "cheap-model-2026-09-01", "", None])
def test_an_answer_of_any_other_model_is_never_accepted(model: str | None) -> None:
    cheap, big = (
        decide_cheap(POLICY, "t", call(signal=scored(), model_returned=model)),
        decide_big(POLICY, None, call("big", scored(), model_returned=model)),
    )
    assert (cheap.action, cheap.reasons) == ("escalate", ("model_not_fitted",))
    assert (big.action, big.reasons) == ("review", ("model_not_fitted",))


def test_a_policy_fitted_where_no_model_id_came_back_takes_none() -> None:
    nameless = FITTED.model_copy(update={"cheap": tier("cheap").model_copy(update={"model_returned": None})})
    policy = Policy(fitted=nameless)
    assert decide_cheap(policy, "t", call(signal=scored(), model_returned=None)).action == "accept"
    assert decide_cheap(policy, "t", call(signal=scored(), model_returned="cheap-model")).action == "escalate"


@pytest.mark.parametrize(("model", "action"), [("cheap-model-2026-08-01", "accept"), ("other-model", "escalate")])
def test_a_reading_is_decided_like_the_call_that_it_becomes(model: str, action: str) -> None:
    reading = Reading(
        scored(), text="refund", model=model, fingerprint=None, prompt_tokens=None, completion_tokens=None
    )
    decision = decide_cheap(POLICY, "t", reading)
    assert decision == decide_cheap(POLICY, "t", call(signal=scored(), model_returned=model))
    assert decision.action == action
    assert decide_big(POLICY, None, reading) == decide_big(POLICY, None, call("big", scored(), model_returned=model))


def test_a_policy_that_was_not_fitted_asks_for_no_model() -> None:
    assert decide_cheap(Policy(), "t", call(signal=scored(), model_returned="any")).action == "accept"


def test_no_signal_stays_no_signal() -> None:
    assert (
        decide_cheap(POLICY, "t", call(signal=unscorable(), model_returned="cheap-model-2026-08-01")).action
        == "escalate"
    )
    assert decide_big(POLICY, None, call("big", unscorable(), model_returned="big-model-2026-08-01")).action == "review"


MEMORY = FittedMemory(embedding_model="minilm", examples=8, size=1000)


@pytest.mark.parametrize(
    ("memory", "match"),
    [
        (None, "fitted with a memory of minilm that shows 8 examples, not without a memory"),
        (MEMORY.model_copy(update={"examples": 4}), "not with a memory of minilm that shows 4 examples"),
        (MEMORY.model_copy(update={"embedding_model": "other"}), "not with a memory of other"),
    ],
)
def test_a_policy_is_refused_for_another_memory_than_it_was_fitted_with(
    memory: FittedMemory | None, match: str
) -> None:
    with pytest.raises(SettingsError, match=match):
        refuse_other_memory(FITTED.model_copy(update={"memory": MEMORY}), memory)


def test_a_memory_may_grow_and_a_policy_without_one_asks_for_none() -> None:
    refuse_other_memory(FITTED.model_copy(update={"memory": MEMORY}), MEMORY.model_copy(update={"size": 5000}))
    refuse_other_memory(FITTED, None)
    refuse_other_memory(FITTED, MEMORY)
