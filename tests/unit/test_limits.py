"""Nothing from outside is read without a bound: bodies, lines, files, labels, messages."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from schemas import MAX_NAME, MAX_TEXT, InvalidMessage, Reason, Ticket
from schemas.registry import TICKET_BYTES
from streams import files
from streams.core.signal.labels import MAX_LABELS, LabelSet
from streams.errors import SettingsError
from streams.files import MAX_LINE_BYTES, bounded_lines, file_lines, read_yaml
from streams.kafka.producers import MAX_REQUEST_BYTES
from streams.models import http
from streams.models.endpoint import Endpoint
from streams.models.http import Answered, Exchange, Unanswered

ENDPOINT = Endpoint(base_url="http://model.test/v1", model="gpt-4o-mini", attempts=3)


async def sent(content: bytes | AsyncIterator[bytes], **headers: str) -> tuple[Answered | Unanswered, int]:
    calls = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(200, content=content, headers=headers)

    client = Exchange(ENDPOINT, transport=httpx.MockTransport(answer))
    try:
        return await client.send("/chat/completions", b"{}"), calls
    finally:
        await client.close()


class TestABody:
    async def test_of_the_greatest_length_is_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)
        answered, _ = await sent(b"x" * 1000)
        assert isinstance(answered, Answered)
        assert answered.content == b"x" * 1000

    async def test_that_never_ends_is_left_and_not_asked_for_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)
        read = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 100
                yield b"x" * 100

        unanswered, calls = await sent(endless())
        assert isinstance(unanswered, Unanswered)
        assert unanswered.reason is Reason.NO_ANSWER
        assert unanswered.detail == "the body is longer than 1000 bytes"
        assert [attempt.outcome for attempt in unanswered.failed] == ["body_too_long"]
        assert calls == 1
        assert read <= 1200

    async def test_is_counted_as_it_is_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import gzip

        monkeypatch.setattr(http, "MAX_BODY_BYTES", 1000)
        packed = gzip.compress(b"x" * 100_000)
        assert len(packed) < 1000
        unanswered, _ = await sent(packed, **{"content-encoding": "gzip"})
        assert isinstance(unanswered, Unanswered)
        answered, _ = await sent(gzip.compress(b"x" * 900), **{"content-encoding": "gzip"})
        assert isinstance(answered, Answered)
        assert answered.content == b"x" * 900


class TestAFileOfLines:
    def test_gives_its_lines_without_ends_and_blanks(self) -> None:
        assert list(bounded_lines(io.BytesIO(b"a\n\r\n  \nb\r\nc"))) == [b"a", b"b", b"c"]

    def test_gives_the_beginning_of_a_line_that_is_too_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files, "MAX_LINE_BYTES", 4)
        assert list(bounded_lines(io.BytesIO(b"abcdefghij\nk\nlmnopq"))) == [b"abcd", b"k", b"lmno"]

    def test_a_line_that_was_cut_is_too_large_for_every_topic(self) -> None:
        assert MAX_LINE_BYTES > MAX_REQUEST_BYTES > TICKET_BYTES

    def test_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"tickets file .*: No such file"):
            file_lines(tmp_path / "absent", "tickets")


def test_a_yaml_file_has_a_greatest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    (tmp_path / "x.yaml").write_text("a: 1\nb: 2")
    assert read_yaml(tmp_path / "x.yaml", "settings") == {"a": 1, "b": 2}
    (tmp_path / "x.yaml").write_text("a: 1\nb: 23\n")
    with pytest.raises(SettingsError, match=r"settings file .*x.yaml: longer than 10 bytes"):
        read_yaml(tmp_path / "x.yaml", "settings")


@pytest.mark.parametrize(
    "labels",
    [
        [f"{number:05}." for number in range(MAX_LABELS + 1)],
        [f"{number:03}{'x' * (MAX_NAME - 3)}" for number in range(400)],
    ],
)
def test_labels_have_to_fit_into_a_message(labels: list[str]) -> None:
    with pytest.raises(SettingsError, match="at most 1000 labels of 100000 bytes together"):
        LabelSet(labels)
    LabelSet(labels[:300])


@pytest.mark.parametrize(
    "row",
    [
        {"text": "x" * (MAX_TEXT + 1)},
        {"ticket_id": "x" * (MAX_NAME + 1)},
        {"label": "x" * (MAX_NAME + 1)},
        {"metadata": {str(number): "" for number in range(65)}},
        {"metadata": {"a": "x" * 513}},
    ],
)
def test_a_ticket_has_a_greatest_size_in_every_part(row: dict[str, object]) -> None:
    whole = {"ticket_id": "t", "text": "x"} | row
    with pytest.raises(InvalidMessage):
        Ticket.decode(Ticket.model_construct(**whole).encode())  # type: ignore[arg-type]
