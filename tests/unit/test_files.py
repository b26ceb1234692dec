"""JSON lines as Windows programs save them, and what no reader can make sense of."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from streams import files
from streams.core.drift import Reason, Unusable
from streams.demo.run import read_lines
from streams.errors import SettingsError
from streams.evaluation import RecordFile, read_records
from streams.files import bounded_lines, file_lines, line_file, numbered_lines, read_yaml
from streams.models.prices import price_list
from streams.prober.probe_files import read_rows
from streams.sandbox.model_server.training import read_training_set
from tests.support.answers import records
from tests.support.encoded import MARKED, marked

ROWS = '{"text": "Größe falsch \U0001f641", "label": "size"}\r\n\r\n{"text": "Where is it?", "label": "parcel"}\r\n'
UTF_16 = [name for name in MARKED if name != "UTF-8"]

every_mark = pytest.mark.parametrize("name", MARKED)


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(content)
    return path


class TestEveryReaderTakesAMark:
    @every_mark
    def test_of_rows(self, tmp_path: Path, name: str) -> None:
        path = saved(tmp_path, marked(ROWS, name))
        wanted = [orjson.loads(line) for line in ROWS.encode().split(b"\r\n") if line]
        assert [orjson.loads(line) for line in file_lines(path, "tickets")] == wanted
        assert [orjson.loads(line) for line in read_lines(path, None)] == wanted
        assert list(read_rows(path)) == [Unusable(Reason.MISSING)] * 2
        assert read_training_set(path).labels == ("size", "parcel")
        with line_file(path, "tickets") as file:
            assert [[(number, orjson.loads(line)) for number, line in file] for _ in range(2)] == [
                [(1, wanted[0]), (3, wanted[1])]
            ] * 2

    @every_mark
    def test_of_records(self, tmp_path: Path, name: str) -> None:
        rows = records(3)
        text = "".join(f"{row.model_dump_json()}\n" for row in rows)
        assert read_records(saved(tmp_path, marked(text, name))) == rows

    @every_mark
    def test_of_yaml_and_prices(self, tmp_path: Path, name: str) -> None:
        assert read_yaml(saved(tmp_path, marked("label: Größe\r\n", name)), "settings") == {"label": "Größe"}
        text = '[[price]]\nmodels = ["größe-*"]\ninput = 1\noutput = 2\n'
        [(pattern, _)] = price_list(saved(tmp_path, marked(text, name)))
        price_list.cache_clear()
        assert pattern == "größe-*"

    @every_mark
    def test_of_standard_input(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        def typed() -> None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(marked(ROWS, name))))

        typed()
        assert len(list(file_lines(Path("-"), "tickets"))) == 2
        typed()
        with line_file(Path("-"), "tickets") as file:
            assert [[number for number, _ in file] for _ in range(2)] == [[1, 3], [1, 3]]


class TestARecordFileThatGrows:
    def test_keeps_its_mark(self, tmp_path: Path) -> None:
        first, second = records(2)
        path = saved(tmp_path, marked(f"{first.model_dump_json()}\n", "UTF-8"))
        with RecordFile(path) as file:
            file.add(second)
        assert read_records(path) == [first, second]

    @pytest.mark.parametrize("name", UTF_16)
    def test_is_not_continued_in_another_encoding(self, tmp_path: Path, name: str) -> None:
        content = marked(f"{records(1)[0].model_dump_json()}\n", name)
        path = saved(tmp_path, content)
        with pytest.raises(SettingsError, match=f"records file .*: {name}; save it as UTF-8"):
            RecordFile(path)
        assert path.read_bytes() == content


class TestAFileWithoutRows:
    @pytest.mark.parametrize(
        "content", [b"", *(marked("", name) for name in MARKED), *(marked("\r\n \n", name) for name in MARKED)]
    )
    def test_gives_none(self, tmp_path: Path, content: bytes) -> None:
        path = saved(tmp_path, content)
        assert list(file_lines(path, "tickets")) == []
        with pytest.raises(SettingsError, match="no rows"):
            read_lines(path, None)


class TestAFileInNoEncoding:
    @pytest.mark.parametrize("name", UTF_16)
    def test_is_refused_in_one_line_that_names_its_encoding(self, tmp_path: Path, name: str) -> None:
        path = saved(tmp_path, marked(ROWS, name) + b"x")
        with pytest.raises(SettingsError, match=rf"^tickets file {path}: its byte order mark says {name}, .*truncated"):
            list(file_lines(path, "tickets"))
        with pytest.raises(
            SettingsError, match=rf"^settings file {path}: its byte order mark says {name}, .*truncated"
        ):
            read_yaml(path, "settings")

    @pytest.mark.parametrize("name", UTF_16)
    def test_without_a_mark_is_refused_at_its_first_line(self, tmp_path: Path, name: str) -> None:
        codec, _ = MARKED[name]
        for text in (ROWS, "\r\n" + ROWS):
            path = saved(tmp_path, text.encode(codec))
            with pytest.raises(SettingsError, match=rf"^tickets file {path}, line \d: NUL bytes, as in UTF-16 without"):
                next(file_lines(path, "tickets"))
        with pytest.raises(SettingsError, match=r"^settings file .*: NUL bytes, as in UTF-16 without"):
            read_yaml(path, "settings")

    def test_a_number_that_is_no_character_in_utf32(self) -> None:
        content = marked("x\n", "UTF-32 LE") + b"\xff\xff\xff\xff"
        with pytest.raises(SettingsError, match="the file: its byte order mark says UTF-32 LE, which it is not"):
            list(bounded_lines(io.BytesIO(content)))


@pytest.mark.parametrize("name", UTF_16)
def test_half_a_character_spoils_its_line_and_no_other(name: str) -> None:
    content = marked("before\nhalf \ud83d\n\udc00\nafter", name, "surrogatepass")
    before, half, alone, after = bounded_lines(io.BytesIO(content))
    assert (before, after) == (b"before", b"after")
    for line in (half, alone):
        with pytest.raises(UnicodeDecodeError):
            line.decode()


def test_files_that_were_put_together_bring_their_marks_along() -> None:
    for name in MARKED:
        content = marked("a\n", name) + marked("\nb\n", name) + marked("c\n", name)
        assert list(numbered_lines(io.BytesIO(content), "a file")) == [(1, b"a"), (3, b"b"), (4, b"c")]


@every_mark
def test_a_line_is_bounded_in_every_encoding(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 6)
    content = marked("äöüß and more\nä\n", name)
    assert list(numbered_lines(io.BytesIO(content), "a file")) == [(1, "äöü".encode()), (2, "ä".encode())]


def test_no_more_is_read_than_has_come(tmp_path: Path) -> None:
    """Who scores what another program prints sees each decision when it is made."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", buffering=0) as other:
        other.write(b"1\n")
        lines = bounded_lines(stream)
        assert next(lines) == b"1"
        other.write(b"2\n3")
        assert next(lines) == b"2"
        other.close()
        assert list(lines) == [b"3"]


def test_a_pipe_with_a_name_is_read_as_often_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_SPOOLED_BYTES", 10)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(ROWS.encode(),))
    writer.start()
    with line_file(pipe, "tickets") as file:
        assert [[number for number, _ in file] for _ in range(2)] == [[1, 3], [1, 3]]
    writer.join()


@pytest.mark.parametrize(
    "read", [lambda path: list(file_lines(path, "tickets")), lambda path: line_file(path, "tickets").__enter__()]
)
def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(SettingsError, match=r"tickets file .*absent: No such file"):
        read(tmp_path / "absent")


def test_a_stream_that_breaks_is_named() -> None:
    class Broken(io.BytesIO):
        def read1(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SettingsError, match="the file: Input/output error"):
        list(bounded_lines(Broken()))
