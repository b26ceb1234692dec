from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.signal import Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score_lines import score_rows
from tests.support import bodies
from tests.support.bodies import Tok

LABELS = LabelSet(["refund", "billing"])
BODY = bodies.chat([Tok("refund", 0.8, {"billing": 0.1})])
KEYS = [
    "id", "status", "reason", "label", "confidence", "entropy", "decision_entropy", "token_confidence", "token_entropy", "top_k_mass",
    "label_probs", "decision", "reasons",
]  # fmt: skip


def decide(signal: Scored | Unscorable, ticket_id: str, model: str | None) -> tuple[str, tuple[str, ...]]:
    del model
    return ("accept", ()) if isinstance(signal, Scored) else ("escalate", (str(signal.reason),))


def rows(*lines: str | bytes) -> list[dict[str, Any]]:
    return list(score_rows(lines, LABELS, decide))


def test_a_scored_row_has_every_number() -> None:
    (row,) = rows(json.dumps({"id": "t1", "response": BODY}))
    assert list(row) == KEYS
    assert (row["id"], row["status"], row["reason"], row["label"]) == ("t1", "scored", None, "refund")
    assert (row["confidence"], row["top_k_mass"]) == (pytest.approx(0.8), pytest.approx(0.9))
    assert row["label_probs"] == pytest.approx({"refund": 8 / 9, "billing": 1 / 9})
    assert (row["decision"], row["reasons"]) == ("accept", [])
    json.dumps(row, allow_nan=False)


def test_a_response_may_be_a_string_that_holds_one() -> None:
    assert rows(json.dumps({"id": "t1", "response": json.dumps(BODY)})) == rows(
        json.dumps({"id": "t1", "response": BODY})
    )


@pytest.mark.parametrize(
    ("line", "ticket", "reason"),
    [
        ("{", None, "not_json"),
        ("[1]", None, "not_json"),
        ("[" * 100_000, None, "not_json"),
        (b"\xff", None, "not_json"),
        ('{"id": "t1"}', "t1", "no_answer"),
        ('{"id": "t1", "response": null}', "t1", "no_answer"),
        ('{"id": 7, "response": {}}', 7, "unknown_shape"),
        ('{"id": "t1", "response": "nonsense"}', "t1", "not_json"),
        ('{"id": "t1", "response": 5}', "t1", "not_json"),
        ('{"id": "\\ud800", "response": {"error": "x"}}', "?", "error_body"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_bad_line_gets_a_row_and_never_an_accept(line: str | bytes, ticket: Any, reason: str) -> None:
    (row,) = rows(line)
    assert list(row) == KEYS
    assert (row["id"], row["status"], row["reason"], row["decision"]) == (ticket, "unscorable", reason, "escalate")
    assert (row["reasons"], row["confidence"], row["label_probs"]) == ([reason], None, None)
    json.dumps(row, allow_nan=False).encode()


@pytest.mark.parametrize("name", [None, True, 1.5, [1], {"a": 1}], ids=repr)
def test_a_decision_that_belongs_to_no_id_is_none(name: Any) -> None:
    for line in ({"id": name, "response": BODY}, {"response": BODY}):
        (row,) = rows(json.dumps(line))
        assert (row["id"], row["status"], row["reason"], row["decision"]) == (None, "unscorable", "no_id", "escalate")


@pytest.mark.parametrize("name", ["", "▁t 1\u0000", "é" * 5000, 0, -7, 2**63], ids=lambda value: repr(value)[:24])
def test_an_id_comes_back_as_it_was(name: str | int) -> None:
    (row,) = rows(json.dumps({"id": name, "response": BODY}))
    assert (row["id"], row["decision"]) == (name, "accept")


def test_blank_lines_are_no_rows_and_lines_are_read_one_at_a_time() -> None:
    assert rows("", "  \n", "\n") == []

    def lines() -> Any:
        yield json.dumps({"id": "t1", "response": BODY})
        raise AssertionError("read ahead")

    assert next(score_rows(lines(), LABELS, decide))["id"] == "t1"
