from __future__ import annotations

from pathlib import Path

import pytest

from streams.core.memory.example import Example
from streams.errors import SettingsError
from streams.memory.labelled_file import read_examples
from streams.sandbox.tickets import TRAIN

LABELS = ("refund", "account")


def file(path: Path, *lines: str) -> Path:
    path = path / "memory.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rows_become_examples_and_those_without_a_label_are_out_of_scope(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        '{"ticket_id": "t-1", "text": "Money back!", "label": "refund", "slice": "x"}',
        '{"text": "A poem", "label": null}',
        '{"ticket_id": "t-3", "text": "   ", "label": "refund"}',
    )
    first, second = read_examples(path, LABELS, ())
    assert first == Example("t-1", "t-1", "Money back!", "refund")
    assert (second.ticket_id, second.text, second.label) == (None, "A poem", None)
    assert second.id.startswith("text-")


def test_the_same_row_twice_is_one_example_and_a_later_label_counts(tmp_path: Path) -> None:
    row = '{"text": "Money back!", "label": "%s"}'
    path = file(tmp_path, row % "refund", '{"text": "other", "label": "refund"}', row % "account")
    assert [(one.text, one.label) for one in read_examples(path, LABELS, ())] == [
        ("other", "refund"),
        ("Money back!", "account"),
    ]


def test_texts_are_redacted(tmp_path: Path) -> None:
    path = file(tmp_path, '{"text": "I am ann@example.com", "label": "account"}')
    [example] = read_examples(path, LABELS, ("email",))
    assert example.text == "I am [email]"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no json", "line 2 of .*: .*[Jj]SON"),
        ('{"label": "refund"}', "line 2 of .*: text is missing"),
        ('{"text": "x", "label": "fees"}', "line 2 of .*: 'fees' is none of the labels"),
        ('{"text": "x", "label": ""}', "line 2 of .*: label"),
    ],
)
def test_a_row_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        read_examples(file(tmp_path, '{"text": "x", "label": "refund"}', line), LABELS, ())


def test_a_file_without_a_labelled_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no row has a text and a label"):
        read_examples(file(tmp_path, '{"text": "x"}'), LABELS, ())


def test_the_training_tickets_are_a_memory() -> None:
    labels = ("refund", "billing", "shipping", "account", "technical", "cancellation")
    assert len(read_examples(TRAIN, labels, ())) == 937
