from __future__ import annotations

import datetime

import pytest

from schemas import Neighbour, Reason
from streams.core.calibration.records import Record, data_hash, origin, read_record, refuse_other_records
from streams.core.policy.fitted import READING, Fitted, FittedMemory, FittedTier
from streams.errors import SettingsError
from tests.support.answers import PROMISE, records
from tests.support.messages import LABELS, call, scored, ticket, unscorable

ROWS = records(6)


def with_cheap(**changes: object) -> Record:
    return ROWS[0].model_copy(update={"cheap": ROWS[0].cheap.model_copy(update=changes)})


def test_a_record_survives_its_line() -> None:
    assert read_record(ROWS[0].model_dump_json().encode(), "line 1") == ROWS[0]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"ticket": {}}', b'{"ticket": {"ticket_id": "1", "text": "secret"}}'])
def test_a_line_that_is_no_record_is_named_without_its_text(line: bytes) -> None:
    with pytest.raises(SettingsError, match="line 3 of x is not a record") as told:
        read_record(line, "line 3 of x")
    assert "secret" not in str(told.value)


def test_the_origin_is_what_all_records_have_in_common() -> None:
    found = origin(ROWS)
    assert sorted(found.labels) == sorted(LABELS)
    assert found.cheap == FittedTier(
        model_asked="cheap-model", model_returned="cheap-model-2026-08-01", prompt_hash="0123456789ab"
    )
    assert found.big.model_asked == "big-model"


def test_a_failed_call_says_nothing_about_the_model() -> None:
    failed = call("cheap", unscorable(Reason.NO_ANSWER), model_returned=None)
    assert origin([ROWS[0].model_copy(update={"cheap": failed}), ROWS[1]]) == origin(ROWS)


@pytest.mark.parametrize("change", [{"model_asked": "x"}, {"model_returned": "x"}, {"prompt_hash": "x"}])
def test_records_of_two_models_or_prompts_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"mix several values of cheap.{next(iter(change))}"):
        origin([*ROWS, with_cheap(**change)])


def test_records_of_two_label_sets_are_refused() -> None:
    other = scored("yes", label_probs={"yes": 0.9, "no": 0.1})
    with pytest.raises(SettingsError, match="several sets of labels"):
        origin([*ROWS, with_cheap(signal=other)])


def test_records_without_a_scored_answer_are_refused() -> None:
    with pytest.raises(SettingsError, match="no scored answer of the cheap tier"):
        origin([with_cheap(signal=unscorable())])


def test_the_hash_is_of_the_content_and_not_of_the_order() -> None:
    assert data_hash(ROWS) == data_hash(ROWS[::-1])
    assert data_hash(ROWS) != data_hash(ROWS[1:])
    relabelled = ROWS[0].model_copy(update={"ticket": ticket("t-0-0", label="account")})
    assert data_hash(ROWS) != data_hash([relabelled, *ROWS[1:]])


def test_a_policy_is_replayed_on_records_of_its_own_models_only() -> None:
    found = origin(ROWS)
    fitted = Fitted(
        reading=READING, data_hash="0" * 32, records=6, date=datetime.date(2026, 8, 1), labels=found.labels, cheap=found.cheap,
        big=found.big, promise=PROMISE, figures={},
    )  # fmt: skip
    refuse_other_records(None, ROWS)
    refuse_other_records(fitted, ROWS)
    newer = [row.model_copy(update={"big": row.big.model_copy(update={"model_returned": "new"})}) for row in ROWS]
    with pytest.raises(SettingsError, match=r"fitted for big.model_returned 'big-model-2026-08-01'.*'new'"):
        refuse_other_records(fitted, newer)
    with pytest.raises(SettingsError, match="calibrate again"):
        refuse_other_records(fitted.model_copy(update={"reading": 1}), ROWS)
    with pytest.raises(SettingsError, match="other labels"):
        refuse_other_records(fitted.model_copy(update={"labels": ("a", "b")}), ROWS)


def test_records_of_one_memory_name_it_at_its_smallest_and_records_of_two_are_refused() -> None:
    memory = FittedMemory(embedding_model="minilm", examples=8, size=1000)
    grown = memory.model_copy(update={"size": 1200})
    rows = [ROWS[0].model_copy(update={"memory": grown}), ROWS[1].model_copy(update={"memory": memory})]
    assert origin(rows).memory == memory
    assert origin(ROWS).memory is None
    with pytest.raises(
        SettingsError, match=r"mix answers with a memory of minilm .* and without a memory: separate them"
    ):
        origin([*rows, ROWS[2]])
    with pytest.raises(SettingsError, match="and without a memory: separate them"):
        refuse_other_records(None, [*rows, ROWS[2]])


def test_whether_a_labelled_ticket_has_the_same_text() -> None:
    near = [Neighbour(id="e", similarity=similarity, label="refund") for similarity in (0.9999, 0.98)]
    known, other = (ROWS[0].model_copy(update={"near": (one,)}) for one in near)
    assert (known.is_known, other.is_known, ROWS[0].is_known) == (True, False, False)
