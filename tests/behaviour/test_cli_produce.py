"""hedgerow produce: every row is checked before the first is sent, and what is refused is named by its line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas import TOPICS, Ticket
from schemas.registry import TICKET_BYTES
from streams.kafka.readers import reader
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.settings import Settings, load_settings
from tests.support.brokers import run_apart
from tests.support.commands import Hedgerow, Said
from tests.support.encoded import MARKED, marked

SECRET = "my card number is 4711"
GOOD = [{"ticket_id": f"t-{number}", "text": f"{SECRET} Größe \U0001f641"} for number in range(3)]
TEXT = "".join(f"{json.dumps(row, ensure_ascii=False)}\r\n" for row in GOOD)
NOT_JSON = f'{{"ticket_id": "t-9", "text": "{SECRET}'.encode()
BLANK = {"ticket_id": "t-8", "text": "  "}


@pytest.fixture
def config(embedded_broker: EmbeddedBroker, tmp_path: Path, hedgerow: Hedgerow) -> Path:
    """Settings with topics that are there."""
    path = settings_file(embedded_broker.bootstrap, tmp_path)
    hedgerow("topics", "create", "-c", path)
    return path


def settings_file(bootstrap: str, folder: Path) -> Path:
    tier = {"base_url": "http://127.0.0.1:1/v1"}
    values = {
        "broker": {"bootstrap": bootstrap},
        "topics": {"prefix": f"produce-{os.urandom(4).hex()}.", "partitions": 2},
        "labels": ["refund", "shipping"],
        "tiers": {"cheap": tier | {"model": "gpt-4o-mini"}, "big": tier | {"model": "gpt-4o"}},
    }
    path = folder / "hedgerow.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


@pytest.fixture
def nowhere(tmp_path: Path, config: Path) -> Path:
    """The same settings with a broker that does not answer: what is refused is refused without one."""
    values = json.loads(config.read_text(encoding="utf-8")) | {"broker": {"bootstrap": "127.0.0.1:1"}}
    path = tmp_path / "nowhere.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def rows_of(folder: Path, *rows: dict[str, object] | bytes) -> Path:
    path = folder / "t.jsonl"
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def arrived(hedgerow: Hedgerow, config: Path, count: int) -> list[str]:
    """The ids on the topic, once there are as many as expected."""
    got = hedgerow("consume", "tickets", "--json", "--max", count, "--wait", 20, "-c", config)
    return sorted(row["ticket_id"] for row in got.rows)


async def read_keys(settings: Settings, count: int, keys: list[bytes | None]) -> None:
    async with reader(["tickets"], settings.broker.connection, prefix=settings.topics.prefix) as consumer:
        while len(keys) < count:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                keys += [record.key for record in records]


def nothing_on_the_topic(hedgerow: Hedgerow, config: Path) -> bool:
    return hedgerow("consume", "tickets", "--wait", 0, "-c", config) == Said(0, "", "")


def test_labels_that_the_settings_do_not_have_are_named_and_sent(
    hedgerow: Hedgerow, config: Path, tmp_path: Path
) -> None:
    labels = ("refund", "returns", "returns", "post\x1b[2J", None)
    rows: list[dict[str, object]] = [
        {"ticket_id": str(at), "text": "x", "label": label} for at, label in enumerate(labels)
    ]
    said = hedgerow("produce", rows_of(tmp_path, *rows), "-c", config)
    assert (said.code, said.out) == (0, "5 tickets sent\n")
    assert said.err == (
        f"warning: 3 rows have labels that {config} does not name (returns 2, post\ufffd[2J 1): "
        "no answer to them can be right\n"
    )
    assert hedgerow("produce", rows_of(tmp_path, *rows), "--json", "-c", config).json["unknown_labels"] == {
        "returns": 2,
        "post\x1b[2J": 1,
    }
    table = tmp_path / "t.csv"
    table.write_text("id,text,label\n1,x,refunds\n", encoding="utf-8")
    assert "1 row has a label that" in hedgerow("produce", table, "-c", config).err


class TestAFileAsProgramsSaveIt:
    @pytest.mark.parametrize("name", MARKED)
    def test_is_read_with_a_byte_order_mark(self, hedgerow: Hedgerow, config: Path, tmp_path: Path, name: str) -> None:
        file = tmp_path / "t.jsonl"
        file.write_bytes(marked(TEXT, name))
        assert hedgerow("produce", file, "-c", config) == Said(0, "3 tickets sent\n", "")
        got = hedgerow("consume", "tickets", "--json", "--max", 3, "--wait", 20, "-c", config)
        assert sorted(got.rows, key=lambda row: row["ticket_id"]) == GOOD
        piped = hedgerow("produce", "-", "--json", "-c", config, stdin=marked(TEXT, name))
        assert piped.json["sent"] == 3

    def test_the_first_row_has_its_key(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        file = tmp_path / "t.jsonl"
        for name in MARKED:
            file.write_bytes(marked(TEXT.splitlines()[0], name))
            assert hedgerow("produce", file, "-c", config).code == 0
        keys: list[bytes | None] = []
        run_apart(read_keys(load_settings(config), len(MARKED), keys))
        assert keys == [b"t-0"] * len(MARKED)

    @pytest.mark.parametrize("name", [name for name in MARKED if name != "UTF-8"])
    def test_is_refused_before_anything_is_sent_if_it_is_cut_off(
        self, hedgerow: Hedgerow, config: Path, tmp_path: Path, name: str
    ) -> None:
        file = tmp_path / "t.jsonl"
        file.write_bytes(marked(TEXT, name)[:-1])
        for arguments in ((), ("--skip-bad",)):
            said = hedgerow("produce", file, *arguments, "-c", config)
            assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)
            assert f"tickets file {file}: its byte order mark says {name}" in said.err
        assert nothing_on_the_topic(hedgerow, config)

    def test_is_refused_in_utf16_without_a_mark(self, hedgerow: Hedgerow, nowhere: Path, tmp_path: Path) -> None:
        file = tmp_path / "t.jsonl"
        file.write_bytes(TEXT.encode("utf-16-le"))
        said = hedgerow("produce", file, "-c", nowhere)
        assert (said.code, said.out, len(said.err.splitlines())) == (2, "", 1)
        assert "line 1: NUL bytes, as in UTF-16 without a byte order mark" in said.err

    @pytest.mark.parametrize("content", [b"", *(marked("", name) for name in MARKED), marked("\r\n\r\n", "UTF-16 LE")])
    def test_without_rows_sends_none(self, hedgerow: Hedgerow, nowhere: Path, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "t.jsonl"
        file.write_bytes(content)
        assert hedgerow("produce", file, "-c", nowhere) == Said(0, "0 tickets sent\n", "")


class TestBeforeTheTopicsAreCreated:
    @pytest.fixture
    def early(self, broker: Broker, tmp_path: Path) -> Path:
        return settings_file(broker.bootstrap, tmp_path)

    @pytest.mark.parametrize("command", ["produce", "consume"])
    def test_one_line_says_what_to_do_and_the_broker_makes_no_topic(
        self, hedgerow: Hedgerow, early: Path, tmp_path: Path, command: str
    ) -> None:
        arguments = ["produce", rows_of(tmp_path, GOOD[0])] if command == "produce" else ["consume", "tickets"]
        said = hedgerow(*arguments, "-c", early)
        assert (said.code, said.out) == (2, "")
        topic = f"{load_settings(early).topics.prefix}tickets"
        assert said.err == f"hedgerow: topics are not there: {topic}; run: hedgerow topics create\n"
        assert set(hedgerow("topics", "list", "--json", "-c", early).json.values()) == {0}

    def test_produce_creates_them_if_it_is_asked_to(self, hedgerow: Hedgerow, early: Path, tmp_path: Path) -> None:
        file = rows_of(tmp_path, GOOD[0])
        said = hedgerow("produce", file, "--create-topics", "-c", early)
        sizes = hedgerow("topics", "list", "--json", "-c", early).json
        assert said == Said(0, "1 ticket sent\n", f"created {len(sizes)} topics\n")
        prefix = load_settings(early).topics.prefix
        assert sizes == {prefix + name: topic.partitions or 2 for name, topic in TOPICS.items()}
        assert hedgerow("produce", file, "--create-topics", "-c", early) == Said(0, "1 ticket sent\n", "")

    def test_a_file_that_is_refused_creates_none(self, hedgerow: Hedgerow, early: Path, tmp_path: Path) -> None:
        assert hedgerow("produce", rows_of(tmp_path, BLANK), "--create-topics", "-c", early).code == 1
        assert set(hedgerow("topics", "list", "--json", "-c", early).json.values()) == {0}


class TestBadRows:
    def test_keep_the_whole_file_back_and_are_named(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        file = rows_of(tmp_path, GOOD[0], b"", NOT_JSON, BLANK, b"[1]", {"ticket_id": "t-7", "text": "x", "v": 9})
        said = hedgerow("produce", file, "-c", config)
        assert (said.code, said.out) == (1, "0 tickets sent\n")
        first, *lines = said.err.splitlines()
        assert first == (
            "4 rows refused (wrong_schema 2, not_json 1, unknown_schema_version 1);"
            " 1 valid row was not sent, --skip-bad sends it"
        )
        assert [line.split(": ")[:2] for line in lines] == [
            ["line 3", "not_json"],
            ["line 4", "wrong_schema"],
            ["line 5", "wrong_schema"],
            ["line 6", "unknown_schema_version"],
        ]
        assert SECRET not in said.err
        assert nothing_on_the_topic(hedgerow, config)

    @pytest.mark.parametrize("source", ["file", "-"])
    def test_are_left_out_with_skip_bad(self, hedgerow: Hedgerow, config: Path, tmp_path: Path, source: str) -> None:
        file = rows_of(tmp_path, GOOD[0], b"", NOT_JSON, GOOD[1], BLANK, GOOD[2])
        chosen = {"file": (file, None), "-": ("-", file.read_bytes())}[source]
        said = hedgerow("produce", chosen[0], "--skip-bad", "--json", "-c", config, stdin=chosen[1])
        assert said.code == 1
        assert said.err == ""
        assert said.json == {
            "sent": 3,
            "refused": 2,
            "reasons": {"not_json": 1, "wrong_schema": 1},
            "unknown_labels": {},
            "lines": [
                {"line": 3, "reason": "not_json", "detail": said.json["lines"][0]["detail"]},
                {"line": 5, "reason": "wrong_schema", "detail": "text: Value error, the text is empty"},
            ],
        }
        assert "at column" in said.json["lines"][0]["detail"]
        assert SECRET not in said.out
        assert arrived(hedgerow, config, 3) == ["t-0", "t-1", "t-2"]

    @pytest.mark.parametrize("arguments", [(), ("--skip-bad",)])
    def test_and_no_other_are_counted_without_a_broker(
        self, hedgerow: Hedgerow, nowhere: Path, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        said = hedgerow("produce", rows_of(tmp_path, *[NOT_JSON] * 30), *arguments, "-c", nowhere)
        assert (said.code, said.out) == (1, "0 tickets sent\n")
        first, *lines, last = said.err.splitlines()
        assert first == "30 rows refused (not_json 30)"
        assert (len(lines), last) == (20, "and 10 more")
        listed = hedgerow("produce", rows_of(tmp_path, *[NOT_JSON] * 30), "--json", *arguments, "-c", nowhere).json
        assert [row["line"] for row in listed["lines"]] == list(range(1, 31))

    def test_that_are_larger_than_the_topic_takes(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        huge = {"ticket_id": "b", "text": "x" * 6_000_000}
        padded = json.dumps({"ticket_id": "c", "text": "x"}).encode() + b" " * TICKET_BYTES + b"#"
        endless = b"x" * 9_000_000
        said = hedgerow(
            "produce", rows_of(tmp_path, GOOD[0], huge, padded, endless, GOOD[1]), "--skip-bad", "--json", "-c", config
        )
        assert (said.code, said.json["sent"], said.json["reasons"]) == (1, 2, {"too_large": 3})
        assert [row["line"] for row in said.json["lines"]] == [2, 3, 4]

    def test_that_name_a_secret_in_their_metadata(self, hedgerow: Hedgerow, nowhere: Path, tmp_path: Path) -> None:
        rows = [
            {"ticket_id": "a", "text": "x", "metadata": metadata} for metadata in ({SECRET: []}, {SECRET * 30: "x"})
        ]
        said = hedgerow("produce", rows_of(tmp_path, *rows), "-c", nowhere)
        assert said.err.count("metadata: names of 1 to 256 characters") == 2
        assert SECRET not in said.err


class TestATable:
    CSV = 'Id,Subject,Text,Priority\r\nt-0,Late,"Where is\r\n\r\nit, please?",3\r\nt-1,,Broken,\r\n'

    @pytest.mark.parametrize("name", MARKED)
    def test_is_sent_with_its_columns_as_fields_and_metadata(
        self, hedgerow: Hedgerow, config: Path, tmp_path: Path, name: str
    ) -> None:
        file = tmp_path / "t.csv"
        file.write_bytes(marked(self.CSV, name))
        assert hedgerow("produce", file, "-c", config) == Said(0, "2 tickets sent\n", "")
        got = hedgerow("consume", "tickets", "--json", "--max", 2, "--wait", 20, "-c", config)
        first, second = sorted((Ticket.model_validate(row) for row in got.rows), key=lambda each: each.ticket_id)
        assert (first.text, first.metadata) == (
            "Where is\r\n\r\nit, please?",
            {"Subject": "Late", "Priority": "3"},
        )
        assert (second.ticket_id, second.text, second.metadata) == ("t-1", "Broken", {})

    def test_is_checked_row_by_row(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        file = tmp_path / "t.tsv"
        file.write_text(f"ticket_id\ttext\nt-0\tx\nt-1\n\nt-2\t \nt-3\t{'x' * 150_000}\nt-4\ty\n")
        kept_back = hedgerow("produce", file, "-c", config)
        assert (kept_back.code, kept_back.out) == (1, "0 tickets sent\n")
        first, *lines = kept_back.err.splitlines()
        assert "2 valid rows were not sent" in first
        assert [line.split(": ")[:2] for line in lines] == [
            ["line 3", "wrong_columns"],
            ["line 5", "wrong_schema"],
            ["line 6", "wrong_schema"],
        ]
        assert nothing_on_the_topic(hedgerow, config)
        said = hedgerow("produce", file, "--skip-bad", "--json", "-c", config)
        assert (said.code, said.json["sent"], said.json["reasons"]) == (1, 2, {"wrong_columns": 1, "wrong_schema": 2})
        assert [row["line"] for row in said.json["lines"]] == [3, 5, 6]
        assert arrived(hedgerow, config, 2) == ["t-0", "t-4"]

    @pytest.mark.parametrize("arguments", [(), ("--skip-bad", "--json")])
    def test_without_a_text_column_is_one_line_that_names_the_others(
        self, hedgerow: Hedgerow, nowhere: Path, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        file = tmp_path / "t.csv"
        file.write_text("id,body\nt-1,x\n")
        said = hedgerow("produce", file, *arguments, "-c", nowhere)
        assert (said.code, said.out) == (2, "")
        assert said.err == f"hedgerow: tickets file {file}: no column text: the first row names 'id', 'body'\n"


@pytest.mark.kafka
def test_a_row_that_only_the_broker_finds_too_large(
    hedgerow: Hedgerow, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With what a batch adds, a row of just under the topic's limit is over it."""
    broker = request.getfixturevalue("kafka_broker")
    config = settings_file(broker.bootstrap, tmp_path)
    hedgerow("topics", "create", "-c", config)
    large = json.dumps({"ticket_id": "b", "text": "x", "more": ""}).encode()
    large = large[:-2] + b"x" * (TICKET_BYTES - len(large)) + large[-2:]
    assert len(large) == TICKET_BYTES
    said = hedgerow("produce", rows_of(tmp_path, GOOD[0], b"", large, GOOD[1]), "--json", "-c", config)
    assert (said.code, said.json) == (
        1,
        {
            "sent": 2,
            "refused": 1,
            "reasons": {"too_large": 1},
            "unknown_labels": {},
            "lines": [{"line": 3, "reason": "too_large", "detail": "larger than the broker takes"}],
        },
    )
    assert arrived(hedgerow, config, 2) == ["t-0", "t-1"]


def test_a_named_pipe_is_a_file_too(hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(marked(TEXT, "UTF-16 LE"),))
    writer.start()
    assert hedgerow("produce", pipe, "-c", config) == Said(0, "3 tickets sent\n", "")
    writer.join()


def test_a_long_file_is_not_held_in_memory(config: Path, tmp_path: Path) -> None:
    """300 MB of rows, all of them refused."""
    file = tmp_path / "t.jsonl"
    row = json.dumps({"ticket_id": "a", "text": "x" * 150_000}).encode() + b"\n"
    with file.open("wb") as stream:
        for _ in range(2_000):
            stream.write(row)
    measure = (
        "import re, sys; from pathlib import Path; from streams.cli import main\n"
        "sys.argv[1:] = ['produce', *sys.argv[1:]]\n"
        "try: main()\n"
        # Not ru_maxrss: that of a child begins with what its parent held.
        "finally: print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure, str(file), "-c", str(config)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "0 tickets sent\n"), done
    assert int(done.stderr.splitlines()[-1]) < 250
