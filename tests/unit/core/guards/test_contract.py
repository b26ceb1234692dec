"""What a contract may say, and what an answer shows to be broken."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas import Call, Reason
from streams.core.guards.contract import Contracts, Observation, Terms, compare, tells
from tests.support.contracts import PAPER, broken, contract, contracts, exception, few_alternatives, kept, terms
from tests.support.messages import attempt, call

SILENT = {
    Reason.REFUSED,
    Reason.FILTERED,
    Reason.TOOL_CALL,
    Reason.NO_CONTENT,
    Reason.TRUNCATED,
    Reason.REQUEST_REFUSED,
    Reason.BREAKER_OPEN,
    Reason.OVER_BUDGET,
}
READABLE = {Reason.NOT_A_LABEL, Reason.AMBIGUOUS_LABEL, Reason.REASONING_ONLY}


def names(seen: Call, of: Terms | None = None) -> list[str]:
    return [breach.name for breach in compare(of or terms(), Observation.of(seen))]


class TestPaper:
    @pytest.mark.parametrize("name", ["provider", "tier", "model", "guarantee", "owner", "signed_off_by"])
    def test_nothing_may_be_left_out(self, name: str) -> None:
        with pytest.raises(ValidationError) as refused:
            type(contract()).model_validate({key: value for key, value in PAPER.items() if key != name})
        assert refused.value.errors()[0]["loc"] == (name,)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"relies_on": {"logprobs": "accept"}, "model_ids": []}, "top_logprobs: accept"),
            ({"relies_on": {"logprobs": "watch", "top_logprobs": "accept"}, "model_ids": []}, "logprobs: accept"),
            ({"model_ids": []}, "belong together"),
            ({"relies_on": {"logprobs": "accept", "top_logprobs": "accept"}}, "belong together"),
            ({"min_k": 21}, "less than or equal to 20"),
            ({"surprise": 1}, "Extra inputs"),
        ],
    )
    def test_what_cannot_hold_is_refused(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(ValidationError, match=words):
            contract(**changes)

    def test_an_alias_may_resolve_to_dated_ids(self) -> None:
        assert terms().allows("cheap-model-2026-08-01")
        assert not any(terms().allows(model) for model in ("cheap-model", "cheap-model-2027-01-01", "", None))


class TestFile:
    def test_finds_what_belongs_to_an_endpoint(self) -> None:
        file = contracts(exception())
        assert file.contract("big", "big-model") == file.contracts[1]
        assert file.contract("big", "cheap-model") is None
        assert file.exceptions_of("cheap", "cheap-model") == (exception(),)
        assert file.exceptions_of("big", "big-model") == ()

    def test_two_contracts_for_one_endpoint_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="two contracts for the cheap tier's cheap-model"):
            Contracts(contracts=(contract(), contract(owner="somebody else")))

    def test_two_exceptions_with_one_id_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="two exceptions have the id migration"):
            contracts(exception(), exception(labels=["refund"]))

    def test_an_exception_without_a_contract_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="for which there is no contract"):
            contracts(exception(model="another-model"))


class TestCompare:
    def test_an_answer_that_keeps_everything(self) -> None:
        assert names(kept()) == []
        assert names(kept(), Terms()) == []

    @pytest.mark.parametrize("reason", sorted(set(Reason) - SILENT - READABLE))
    def test_a_missing_or_broken_signal_is_a_breach_by_its_name(self, reason: Reason) -> None:
        [breach] = compare(terms(), Observation.of(broken(reason)))
        assert breach.name == reason.value
        assert breach.use == "accept"
        assert breach.found.startswith(reason.value)
        assert tells(broken(reason).signal)

    @pytest.mark.parametrize("reason", sorted(SILENT))
    def test_what_is_about_one_ticket_tells_nothing(self, reason: Reason) -> None:
        assert names(broken(reason, model_returned=None, attempts=())) == []
        assert not tells(broken(reason).signal)

    @pytest.mark.parametrize("reason", sorted(READABLE))
    def test_an_answer_whose_logprobs_could_be_read_keeps_the_contract(self, reason: Reason) -> None:
        assert names(broken(reason)) == []
        assert tells(broken(reason).signal)

    def test_too_few_alternatives(self) -> None:
        assert names(few_alternatives()) == ["k_below_minimum"]
        assert names(few_alternatives(), terms(min_k=2)) == []

    @pytest.mark.parametrize("model", ["other-model", None])
    def test_another_model_or_none(self, model: str | None) -> None:
        [breach] = compare(terms(), Observation.of(call(model_returned=model)))
        assert (breach.name, breach.use, breach.found) == ("model_not_allowed", "accept", model or "none")
        assert names(call(model_returned=model), Terms()) == []

    def test_several_at_once(self) -> None:
        assert names(broken(model_returned="other-model")) == ["logprobs_null", "model_not_allowed"]

    def test_token_counts_and_fingerprint_where_they_are_relied_on(self) -> None:
        bare = call(fingerprint=None, attempts=(attempt(estimated=True),))
        watched = terms(relies_on={**PAPER["relies_on"], "fingerprint": "watch"})
        breaches = compare(watched, Observation.of(bare))
        assert [(breach.name, breach.use) for breach in breaches] == [
            ("usage_missing", "spend"),
            ("fingerprint_missing", "watch"),
        ]
        assert names(bare, Terms()) == []

    @pytest.mark.parametrize("reason", [Reason.NO_ANSWER, Reason.CAPABILITY, Reason.NOT_JSON])
    def test_a_call_without_an_answer_has_no_model_to_judge(self, reason: Reason) -> None:
        assert names(broken(reason, model_returned=None, attempts=())) == [reason.value]
