"""A written exception is narrow, has an end, and excuses absence only."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from schemas import Reason
from streams.core.guards.written_exception import ABSENCE
from tests.support.contracts import EXCEPTION, broken, exception, kept

LAST_DAY = date(2026, 12, 31)


@pytest.mark.parametrize("name", ["id", "tier", "model", "reasons", "owner", "reason", "expires"])
def test_nothing_may_be_left_out(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        type(exception()).model_validate({key: value for key, value in EXCEPTION.items() if key != name})
    assert refused.value.errors()[0]["loc"] == (name,)


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": None},
        {"expires": "never"},
        {"owner": ""},
        {"reason": ""},
        {"reasons": []},
        {"labels": []},
        {"id": "no spaces"},
        {"for_ever": True},
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        exception(**changes)


@pytest.mark.parametrize("reason", sorted(set(Reason) - ABSENCE))
def test_only_absence_can_be_excused(reason: Reason) -> None:
    with pytest.raises(ValidationError, match="cannot excuse"):
        exception(reasons=["logprobs_null", reason])
    # Not even where the check at the door was passed by.
    forged = exception().model_copy(update={"reasons": frozenset({reason})})
    assert not forged.covers(broken(reason), LAST_DAY)


class TestCovers:
    def test_an_answer_in_its_scope_to_the_end_of_its_last_day(self) -> None:
        assert exception().covers(broken(), LAST_DAY)
        assert not exception().covers(broken(), date(2027, 1, 1))

    def test_only_an_answer_whose_text_names_a_label(self) -> None:
        assert not exception().covers(broken(label=None), LAST_DAY)

    def test_only_its_labels(self) -> None:
        narrow = exception(labels=["shipping"])
        assert narrow.covers(broken(label="shipping"), LAST_DAY)
        assert not narrow.covers(broken(label="refund"), LAST_DAY)

    @pytest.mark.parametrize("changes", [{"tier": "big"}, {"model_asked": "cheap-model-2"}])
    def test_only_its_endpoint(self, changes: dict[str, Any]) -> None:
        assert not exception().covers(broken(**changes), LAST_DAY)

    def test_only_its_reasons(self) -> None:
        assert not exception().covers(broken(Reason.LOGPROBS_ABSENT), LAST_DAY)

    def test_no_scored_answer(self) -> None:
        assert not exception().covers(kept(), LAST_DAY)
