"""Which rows are refused before they are sent, why, and that their text is nowhere in the reason."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import InvalidMessage, Ticket
from schemas.registry import TICKET_BYTES
from streams.kafka import ticket_rows
from streams.kafka.ticket_rows import TOO_LARGE, Fault, Refusals, Refused, good_rows, judge

SECRET = "s3cr3t"


def row(**values: object) -> bytes:
    return json.dumps({"ticket_id": "t", "text": SECRET} | values).encode()


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (row()[:-1], "not_json", "at column"),
        (SECRET.encode(), "not_json", "at column 1"),
        (row(text=SECRET + "\ud83d"), "not_json", "at column"),
        (row()[:-2] + b'\xff"}', "not_json", "at column"),
        (b'"' + SECRET.encode() + b'"', "wrong_schema", "message: "),
        (row(text=[SECRET]), "wrong_schema", "text: "),
        (row(text=SECRET * 20_000), "wrong_schema", "text: String should have at most 100000"),
        (row(ticket_id=""), "wrong_schema", "ticket_id: "),
        (row(label=[SECRET]), "wrong_schema", "label: "),
        (row(metadata={SECRET: []}), "wrong_schema", "metadata: names of 1 to 256"),
        (row(metadata={f"{SECRET}: " * 100: "x"}), "wrong_schema", "metadata: names of 1 to 256"),
        (row(metadata=dict.fromkeys(map(str, range(65)), SECRET)), "wrong_schema", "metadata: "),
        (row(v=9), "unknown_schema_version", "the newest this reader knows"),
        (row(more="x" * TICKET_BYTES), TOO_LARGE, "larger than the 2097152 bytes"),
    ],
)
def test_a_fault_has_a_reason_without_the_rows_text(content: bytes, reason: str, words: str) -> None:
    fault = judge(content)
    assert isinstance(fault, Fault)
    assert fault.reason == reason
    assert words in fault.detail
    assert SECRET not in fault.detail
    assert len(fault.detail.splitlines()) == 1


def refusal_of(content: bytes) -> str | None:
    try:
        Ticket.decode(content)
    except InvalidMessage as invalid:
        return invalid.reason
    return None


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3), max_leaves=5
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("ticket_id", "text", "label", "slice", "metadata", "v", "other"), JSON)
    )
)
def test_what_has_no_fault_is_what_an_agent_takes(values: dict[str, object]) -> None:
    content = json.dumps(values).encode()
    judged = judge(content)
    assert (judged.reason if isinstance(judged, Fault) else None) == refusal_of(content)


def test_good_rows_keep_their_lines_and_order() -> None:
    refusals = Refusals()
    rows = [(2, row(ticket_id="a")), (5, b"{"), (6, row(ticket_id="b")), (9, b"{")]
    assert list(good_rows(rows, refusals)) == [rows[0], rows[2]]
    assert [refused.line for refused in refusals.lines] == [5, 9]
    assert (refusals.count, refusals.reasons) == (2, {"not_json": 2})


def test_the_gold_labels_of_good_rows_are_counted() -> None:
    labels = Counter[str]()
    rows = [(1, row(label="refund")), (2, row(label="refund", text=" ")), (3, row(label="refunds")), (4, row())]
    assert len(list(good_rows(rows, Refusals(), labels))) == 3
    assert labels == {"refund": 1, "refunds": 1}


def test_all_are_counted_and_the_first_ones_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_rows, "MAX_KEPT", 2)
    refusals = Refusals()
    for line in range(1, 6):
        refusals.add(line, Fault("not_json", "cut short"))
    assert refusals.count == 5
    assert refusals.lines == [Refused(1, "not_json", "cut short"), Refused(2, "not_json", "cut short")]
