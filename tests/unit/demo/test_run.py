"""What a demo reads before it starts anything, and what it writes at its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from streams.core.policy.policy import Policy
from streams.demo.run import DemoOptions, demo_settings, read_lines, run_demo, write_report
from streams.errors import SettingsError
from streams.kafka.connection import Connection


class TestLines:
    def test_every_line_that_holds_anything(self, tmp_path: Path) -> None:
        path = tmp_path / "t.jsonl"
        path.write_bytes(b'{"a": 1}\r\n\n  \nno JSON \xff\n{"text": "\xe2\x80\xa8"}')
        assert read_lines(path, None) == [b'{"a": 1}', b"no JSON \xff", b'{"text": "\xe2\x80\xa8"}']
        assert read_lines(path, 2) == [b'{"a": 1}', b"no JSON \xff"]

    def test_the_rows_of_a_table(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("id,text,label\n1,My card is lost,\n2,Where is it?,shipping\n")
        assert [json.loads(line) for line in read_lines(path, None)] == [
            {"ticket_id": "1", "text": "My card is lost"},
            {"ticket_id": "2", "text": "Where is it?", "label": "shipping"},
        ]
        assert len(read_lines(path, 1)) == 1

    def test_a_table_with_a_row_of_other_columns_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "t.tsv"
        path.write_text("id\ttext\n1\tMy card is lost\n2\n")
        with pytest.raises(SettingsError, match=r"t\.tsv, line 3: 1 column, and the header names 2"):
            read_lines(path, None)

    @pytest.mark.parametrize("data", [b"", b"\n \n"])
    def test_a_file_without_any_is_refused(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "empty.jsonl"
        path.write_bytes(data)
        with pytest.raises(SettingsError, match=r"empty\.jsonl: no rows"):
            read_lines(path, None)


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (DemoOptions(tickets=Path("away.jsonl")), "away.jsonl"),
            (DemoOptions(calibration=Path("away.jsonl")), "away.jsonl"),
            (DemoOptions(train=Path("away.jsonl")), "away.jsonl"),
            (DemoOptions(memory=Path("away.jsonl")), "away.jsonl"),
            (DemoOptions(memory=Path("other.jsonl")), r"line 1 of .*other\.jsonl: 'fees' is none of the labels"),
            (DemoOptions(broker="nonsense"), "nonsense"),
            (DemoOptions(faults=("nope=1",)), "nope"),
            (DemoOptions(faults=("slow",)), "no rate"),
        ],
    )
    async def test_what_cannot_be_meant_is_refused_before_anything_starts(
        self, options: DemoOptions, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "other.jsonl").write_text('{"text": "What does it cost?", "label": "fees"}')
        console = Console(record=True, quiet=True)
        with pytest.raises(SettingsError, match=words):
            await run_demo(options, console)
        assert console.export_text() == ""


class TestSettings:
    def settings(self, labels: list[str], folder: Path) -> Any:
        return demo_settings(Connection("127.0.0.1:9092"), "http://127.0.0.1:1/v1", labels, Policy(id="mine"), folder)

    def test_are_valid_and_each_demo_has_topics_of_its_own(self, tmp_path: Path) -> None:
        one, other = (self.settings(["refund", "shipping"], tmp_path) for _ in range(2))
        assert one.policy.id == "mine"
        assert one.broker.bootstrap == "127.0.0.1:9092"
        assert one.topics.prefix != other.topics.prefix

    def test_labels_that_begin_one_another_get_letters(self, tmp_path: Path) -> None:
        assert self.settings(["refund", "refund_status"], tmp_path).label_set.answers == ("A", "B")


class TestReport:
    def test_is_written_as_json(self, tmp_path: Path) -> None:
        write_report({"tickets": 3, "accuracy": None}, tmp_path / "report.json")
        assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == {"tickets": 3, "accuracy": None}

    def test_a_folder_that_is_away_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"report\.json: No such file"):
            write_report({}, tmp_path / "away" / "report.json")
