"""What an operator sees of dead letters, and what becomes of them: on both brokers, with and without transactions."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas import REVISION_HEADER, RUN_HEADER, revision_of
from schemas.headers import LETTER_HEADER
from streams.delivery.dead_letters import CUT_TO
from streams.delivery.stage import Delivery
from streams.errors import GiveUp, StopWorker
from streams.kafka.letter_book import read_letters
from streams.kafka.redrive import letter_desk
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from tests.support.commands import Hedgerow
from tests.support.letters import LetterBox
from tests.support.messages import ticket
from tests.support.pipelines import pipeline, raw_producer

MODES = [
    "embedded at_least_once",
    pytest.param("kafka at_least_once", marks=pytest.mark.kafka),
    pytest.param("kafka exactly_once", marks=pytest.mark.kafka),
]


@pytest.fixture(params=MODES)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> LetterBox:
    broker, _, delivery = request.param.partition(" ")
    return LetterBox(request.getfixturevalue(f"{broker}_broker"), tmp_path, delivery)


@pytest.fixture
def plain_box(embedded_broker: EmbeddedBroker, tmp_path: Path) -> LetterBox:
    return LetterBox(embedded_broker, tmp_path)


def test_a_letter_is_redriven_once_and_then_closed(box: LetterBox, hedgerow: Hedgerow) -> None:
    value, key = b"\x00\xffnot JSON", b"t-\xff"
    letter = box.put(value, key, headers=[("trace", b"7"), (RUN_HEADER, b"5")])
    said = hedgerow("dead-letters", "redrive", letter, "-c", box.config, "--by", "ada", "--note", "mended", "--json")
    assert said.code == 0, said.err
    run = said.json["run"]
    assert said.json == {"redriven": 1, "letters": [letter], "refused": [], "run": run}
    [sent] = box.redriven()
    assert (sent.value, sent.key, sent.partition) == (value, key, 1)
    original = next(record for record in box.records("tickets") if dict(record.headers)[RUN_HEADER] == b"5")
    assert [each for each in sent.headers if each[0] != LETTER_HEADER] == [
        ("trace", b"7"),
        (REVISION_HEADER, str(revision_of(original.timestamp, original.offset)).encode()),
        (RUN_HEADER, str(run).encode()),
    ]

    [row] = hedgerow("dead-letters", "list", "-c", box.config, "--closed", "--json").rows
    assert (row["letter"], row["state"]) == (letter, "redriven")
    assert (row["closing"]["by"], row["closing"]["note"], row["closing"]["run"]) == ("ada", "mended", run)
    assert hedgerow("dead-letters", "list", "-c", box.config, "--json").rows == []

    again = hedgerow("dead-letters", "redrive", letter, "-c", box.config)
    assert again.code == 2
    assert again.err.startswith(f"hedgerow: {letter} is closed: redriven by ada at ")
    assert hedgerow("dead-letters", "redrive", "--all", "-c", box.config, "--json").json["redriven"] == 0
    assert len(box.redriven()) == 1


def test_a_letter_is_discarded_and_its_message_stays_where_it_is(box: LetterBox, hedgerow: Hedgerow) -> None:
    letter, other = box.put(b"[", b"a"), box.put(b"{", b"b", reason="wrong_schema")
    said = hedgerow("dead-letters", "discard", "--reason", "not_json", "-c", box.config, "--by", "ada", "--json")
    assert said.json == {"discarded": 1, "letters": [letter], "refused": []}
    assert [row["letter"] for row in hedgerow("dead-letters", "list", "-c", box.config, "--json").rows] == [other]
    assert box.redriven() == []
    assert hedgerow("dead-letters", "redrive", letter, "-c", box.config).code == 2


def test_a_letter_that_a_killed_worker_writes_again_stays_closed(box: LetterBox, hedgerow: Hedgerow) -> None:
    letter = box.put(b"[", b"a")
    hedgerow("dead-letters", "redrive", letter, "-c", box.config)

    async def write_again() -> None:
        [first, *_] = await box._records("dead-letters")
        async with AIOKafkaProducer(bootstrap_servers=box.broker.bootstrap) as producer:
            row = json.loads(first.value) | {"at_ms": 1_800_000_000_000, "attempts": 3}
            await producer.send_and_wait(first.topic, json.dumps(row).encode(), first.key)

    box.run(write_again())
    [row] = hedgerow("dead-letters", "list", "-c", box.config, "--closed", "--json").rows
    assert (row["state"], row["attempts"]) == ("redriven", 3)
    assert hedgerow("dead-letters", "redrive", "--all", "-c", box.config, "--json").json["redriven"] == 0


def test_what_was_cut_is_fetched_from_where_it_came_from(box: LetterBox, hedgerow: Hedgerow) -> None:
    value, key = b"x" * (CUT_TO + 10), b"k" * 2_000
    letter, gone = box.put(value, key, cut=True), box.put(value, key, cut=True, kept=False)
    said = hedgerow("dead-letters", "redrive", "--all", "-c", box.config, "--json")
    assert said.code == 1
    assert said.json["letters"] == [letter]
    [refused] = said.json["refused"]
    assert (refused["letter"], refused["reason"]) == (gone, "original_gone")
    assert "the letter has only a part of the message" in refused["detail"]
    [sent] = box.redriven()
    assert (sent.value, sent.key) == (value, key)
    assert [row["letter"] for row in hedgerow("dead-letters", "list", "-c", box.config, "--json").rows] == [gone]


def test_what_is_gone_from_its_topic_is_sent_from_the_letter(box: LetterBox, hedgerow: Hedgerow) -> None:
    letter = box.put(b"[1", b"a", kept=False, headers=[("trace", b"of another message")])
    assert hedgerow("dead-letters", "redrive", letter, "-c", box.config).out == "1 letter redriven\n"
    [sent] = box.redriven()
    names = [name for name, _ in sent.headers]
    assert (sent.value, sent.key, names) == (b"[1", b"a", [REVISION_HEADER, RUN_HEADER, LETTER_HEADER])


def test_no_value_is_redriven_as_none_and_an_empty_one_as_empty(box: LetterBox, hedgerow: Hedgerow) -> None:
    box.put(None, b"none", reason="empty_message")
    box.put(b"", b"empty", reason="empty_message")
    assert hedgerow("dead-letters", "redrive", "--topic", "tickets", "-c", box.config).out == "2 letters redriven\n"
    assert {record.key: record.value for record in box.redriven()} == {b"none": None, b"empty": b""}


@pytest.mark.kafka
@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once"])
def test_a_letter_too_large_for_the_broker_is_named_and_the_others_are_redriven(
    kafka_broker: LocalKafka, tmp_path: Path, hedgerow: Hedgerow, delivery: Delivery
) -> None:
    box = LetterBox(kafka_broker, tmp_path, delivery)
    large, small = box.put(b"[" * 4000, b"a", at_ms=1), box.put(b"{", b"b", at_ms=2)
    box.limit("dead-letters", 2000)
    said = hedgerow("dead-letters", "redrive", "--all", "-c", box.config, "--json")
    assert (said.code, said.json["letters"]) == (1, [small]), said.err
    assert [(each["letter"], each["reason"]) for each in said.json["refused"]] == [(large, "too_large")]
    assert [record.key for record in box.redriven()] == [b"b"]
    assert [row["letter"] for row in hedgerow("dead-letters", "list", "-c", box.config, "--json").rows] == [large]


def test_of_two_redrives_at_once_the_later_one_fences_the_earlier(kafka_broker: LocalKafka, tmp_path: Path) -> None:
    box = LetterBox(kafka_broker, tmp_path, "exactly_once")
    first, second = box.put(b"[", b"a"), box.put(b"{", b"b")

    async def both() -> None:
        async with letter_desk(box.connection, prefix=box.prefix, transactions=True) as later:
            for letter in (first, second):
                entry = later.book.get(box.prefix + letter)
                assert entry is not None
                await later.redrive(entry, "later", 1_800_000_000_000, run=2)

    async def earlier() -> None:
        async with letter_desk(box.connection, prefix=box.prefix, transactions=True) as desk:
            await both()
            entry = desk.book.get(box.prefix + first)
            assert entry is not None
            await desk.redrive(entry, "earlier", 1_800_000_000_000, run=1)

    with pytest.raises(StopWorker, match="another command closes dead letters"):
        box.run(earlier())
    assert [dict(record.headers)[RUN_HEADER] for record in box.redriven()] == [b"2", b"2"]


def test_of_two_redrives_at_once_without_transactions_one_sends(plain_box: LetterBox) -> None:
    box = plain_box
    letters = [box.put(b"[", b"key %d" % number) for number in range(3)]

    async def both() -> list[object]:
        opened = partial(letter_desk, box.connection, prefix=box.prefix, transactions=False)
        async with opened() as first, opened() as second:
            tries = [
                desk.redrive(entry, "ada", 1_800_000_000_000, run=run)
                for run, desk in enumerate((first, second), 1)
                if (entry := desk.book.get(box.prefix + letters[0])) is not None
            ]
            done: list[object] = [*await asyncio.gather(*tries, return_exceptions=True)]
            for run, desk, letter in ((3, first, letters[1]), (4, second, letters[2])):
                entry = desk.book.get(box.prefix + letter)
                assert entry is not None
                await desk.redrive(entry, "ada", 1_800_000_000_000, run=run)
            return done

    done = box.run(both())
    [refused] = [each for each in done if each is not None]
    assert isinstance(refused, GiveUp)
    assert refused.reason == "taken"
    assert sorted(record.key for record in box.redriven()) == [b"key 0", b"key 1", b"key 2"]


@pytest.mark.kafka
def test_what_was_closed_behind_an_open_transaction_is_seen(kafka_broker: LocalKafka, tmp_path: Path) -> None:
    box = LetterBox(kafka_broker, tmp_path, "exactly_once")
    letter = box.put(b"[", b"a")

    async def behind() -> None:
        dead = AIOKafkaProducer(
            bootstrap_servers=box.broker.bootstrap, transactional_id=f"{box.prefix}dead", transaction_timeout_ms=5_000
        )
        await dead.start()
        async with letter_desk(box.connection, prefix=box.prefix, transactions=True) as desk:
            await dead.begin_transaction()
            for partition in (0, 1):
                await dead.send_and_wait(f"{box.prefix}dead-letters", b"open", b"k", partition=partition)
            entry = desk.book.get(box.prefix + letter)
            assert entry is not None
            await desk.redrive(entry, "ada", 1_800_000_000_000, run=1)
        async with letter_desk(box.connection, prefix=box.prefix, transactions=True) as desk:
            assert desk.book.choose() == []
        await asyncio.gather(dead.stop(), return_exceptions=True)

    box.run(behind())
    assert len(box.redriven()) == 1


def test_a_table_keeps_the_names_of_letters_whole_at_80_columns(
    plain_box: LetterBox, hedgerow: Hedgerow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    letter = plain_box.put(b'{"ticket_id": "a", "text": 5, "more": "' + b"x" * 200, topic="classifications")
    said = hedgerow("dead-letters", "list", "-c", plain_box.config)
    title, header, row = said.out.splitlines()
    assert title == "1 dead letter"
    assert header.split() == ["letter", "when", "reason", "message"]
    assert row.startswith(f"{letter}  2023-11-14 22:13:20Z  not_json  ")
    assert len(row) <= 80


def test_filters_choose_by_reason_topic_and_time(plain_box: LetterBox, hedgerow: Hedgerow) -> None:
    box = plain_box
    old = box.put(b"[", b"a", at_ms=1_600_000_000_000)
    new = box.put(b"[", b"b", topic="reviews")
    odd = box.put(b"[", b"c", reason="wrong_schema")

    def listed(*options: str) -> list[str]:
        return [row["letter"] for row in hedgerow("dead-letters", "list", *options, "-c", box.config, "--json").rows]

    assert listed() == [old, *sorted([new, odd])]
    assert listed("--max", "1") == [old]
    assert listed("--topic", "reviews") == [new]
    assert listed("--reason", "not_json", "--reason", "other") == [old, new]
    assert listed("--since", "2021-01-01", "--reason", "not_json") == [new]
    assert listed("--since", "1h") == []
    dry = hedgerow("dead-letters", "redrive", "--topic", "reviews", "--dry-run", "-c", box.config)
    assert dry.out == f"{new}\n1 letter would be redriven\n"
    assert box.redriven("reviews") == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "which letters"),
        (("tickets/0/99",), "no dead letter 'tickets/0/99'"),
        (("tickets/0/99", "--all"), "not both"),
        (("--since", "yesterday"), "--since yesterday"),
        (("--topic", "ticket"), "no topic 'ticket': there are tickets, "),
    ],
)
def test_a_choice_that_means_nothing_is_refused(
    plain_box: LetterBox, hedgerow: Hedgerow, arguments: tuple[str, ...], complaint: str
) -> None:
    for command in ("redrive", "discard"):
        said = hedgerow("dead-letters", command, *arguments, "-c", plain_box.config)
        assert said.code == 2
        assert complaint in said.err


def test_show_prints_text_as_text_and_other_bytes_as_hex(plain_box: LetterBox, hedgerow: Hedgerow) -> None:
    text = plain_box.put('{"text": "caf\u00e9"\n'.encode(), b"t-1")
    said = hedgerow("dead-letters", "show", text, "-c", plain_box.config)
    assert said.out.splitlines() == [
        f"{text}: not_json, by classify at 2023-11-14 22:13:20Z, 1 attempt",
        "GiveUp: expected value",
        "open",
        "",
        "key, 3 bytes:",
        "t-1",
        "",
        "value, 17 bytes:",
        '{"text": "caf\u00e9"',
        "",
    ]
    about = plain_box.put(ticket("T-17", "Where is my parcel?").encode(), b"T-17")
    said = hedgerow("dead-letters", "show", about, "-c", plain_box.config)
    assert said.out.splitlines()[2:4] == ["ticket T-17", "open"]
    assert hedgerow("dead-letters", "show", about, "-c", plain_box.config, "--json").json["ticket_id"] == "T-17"
    binary = plain_box.put(b"\x00\x01AB\x1b[31m", None)
    said = hedgerow("dead-letters", "show", binary, "-c", plain_box.config)
    assert said.out.splitlines()[-4:] == [
        "no key",
        "",
        "value, 9 bytes:",
        "00000000  00 01 41 42 1b 5b 33 31 6d                       ..AB.[31m",
    ]
    row = hedgerow("dead-letters", "show", binary, "-c", plain_box.config, "--json").json
    assert (row["key"], row["value"]) == (None, {"hex": "000141421b5b33316d"})
    nothing = plain_box.put(None, b"k")
    assert hedgerow("dead-letters", "show", nothing, "-c", plain_box.config).out.splitlines()[-1] == "no value"


def test_consume_says_that_a_letter_was_closed(plain_box: LetterBox, hedgerow: Hedgerow) -> None:
    letter = plain_box.put(b"[", b"a")
    hedgerow("dead-letters", "discard", letter, "--by", "ada", "-c", plain_box.config)
    lines = hedgerow("consume", "dead-letters", "--max", "2", "-c", plain_box.config).out.splitlines()
    assert ["discarded by ada" in line for line in lines] == [False, True]


def test_a_message_is_sent_to_topics_of_this_deployment_only(plain_box: LetterBox, hedgerow: Hedgerow) -> None:
    """Who may write dead letters may not have an operator send anything anywhere."""
    box = plain_box
    box.put(b"[", b"a")

    async def forge(topic: str) -> None:
        record = (await box._records("dead-letters"))[0]
        async with AIOKafkaProducer(bootstrap_servers=box.broker.bootstrap) as producer:
            row = json.loads(record.value) | {"topic": topic, "reason": "forged"}
            await producer.send_and_wait(record.topic, json.dumps(row).encode(), f"{topic}/1/0".encode())

    for topic in ("elsewhere", "tickets", f"{box.prefix}dead-letters"):
        box.run(forge(topic))
    said = hedgerow("dead-letters", "redrive", "--reason", "forged", "-c", box.config, "--json")
    assert said.code == 1
    assert [each["reason"] for each in said.json["refused"]] == ["unknown_topic"] * 3
    assert box.redriven() == []


@pytest.mark.parametrize("mode", MODES)
async def test_a_worker_handles_what_was_redriven_and_names_the_run_in_its_result(
    mode: str, request: pytest.FixtureRequest, model_server: ModelServer, tmp_path: Path
) -> None:
    """The first message names a run that cannot be one, which a redrive replaces; the second is invalid for good."""
    broker, _, delivery = mode.partition(" ")
    change = partial(Settings.model_copy, update={"delivery": delivery})
    bad = {"tickets": (b'{"ticket_id": "a", "text": "I want my money back"}', b"a"), "no": (b"not JSON", b"b")}
    async with pipeline(request.getfixturevalue(f"{broker}_broker"), model_server, tmp_path, change=change) as running:
        connection, prefix = running.settings.broker.connection, running.settings.topics.prefix
        async with raw_producer(running.settings) as producer:
            for value, key in bad.values():
                await producer.send_and_wait(f"{prefix}tickets", value, key, headers=[(RUN_HEADER, b"many")])
        await running.until(lambda: len(running.letters) == 2)
        async with letter_desk(connection, prefix=prefix, transactions=delivery == "exactly_once") as desk:
            for entry in desk.book.choose():
                await desk.redrive(entry, "ada", 1_800_000_000_000, run=7)
        await running.until(lambda: "a" in running.results and len(running.letters) == 3)
    assert [result.run for result in running.results["a"]] == [7]
    assert sorted(entry.state for entry in (await read_letters(connection, prefix=prefix)).choose(closed=True)) == [
        "open",
        "redriven",
        "redriven",
    ]


async def test_a_text_that_is_redriven_after_a_later_one_does_not_replace_it(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> None:
    async with pipeline(embedded_broker, model_server, tmp_path) as running, raw_producer(running.settings) as producer:
        connection, prefix = running.settings.broker.connection, running.settings.topics.prefix
        early, late = ticket("a", "I want my money back").encode(), ticket("a", "Where is my parcel?").encode()
        await producer.send_and_wait(f"{prefix}tickets", early, b"a", headers=[(RUN_HEADER, b"many")])
        await running.until(lambda: len(running.letters) == 1)
        await running.send("late", late, b"a", producer)
        await running.until(lambda: "a" in running.results)
        async with letter_desk(connection, prefix=prefix, transactions=False) as desk:
            [entry] = desk.book.choose()
            await desk.redrive(entry, "ada", 1_800_000_000_000, run=7)
        await running.send("last", ticket("b", "Where is my parcel?").encode(), b"a", producer)
        await running.until(lambda: "b" in running.results)
        assert [result.run for result in running.results["a"]] == [0]
