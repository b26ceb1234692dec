"""Log lines that repeat: one of a kind a minute, whoever logs it, and nothing that says something else is left out."""

from __future__ import annotations

import logging

import pytest
import structlog
from aiokafka.errors import GroupCoordinatorNotAvailableError, UnknownMemberIdError

from streams.observability.folding import Folding
from streams.observability.logs import configure_logging


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def record(text: str, *values: object, name: str = "aiokafka.client", level: int = logging.ERROR) -> logging.LogRecord:
    return logging.LogRecord(name, level, "x.py", 1, text, values, None)


def test_the_first_of_a_kind_is_written_and_then_one_a_minute_with_the_number_left_out(clock: Clock) -> None:
    folding = Folding(clock)
    written = []
    for _ in range(150):
        line = record("boom %s", clock.now)
        if folding.filter(line):
            written.append(line.repeated)  # type: ignore[attr-defined]
        clock.now += 1.0
    assert written == [0, 59, 59]


def test_what_a_librarys_message_says_of_a_lost_connection_is_one_kind_in_any_words(clock: Clock) -> None:
    folding = Folding(clock)
    lines = [
        record("Unable connect to node with id %s: %s", 0, "[Errno 111] Connection refused", name="aiokafka"),
        record("Unable to update metadata from %s", [0], name="aiokafka"),
        record("Failed fetch messages from %s: %s", 0, "NodeNotReadyError: x", name="aiokafka.consumer.fetcher"),
        record("Heartbeat session expired - marking coordinator dead", name="aiokafka.consumer.group_coordinator"),
        record("Error sending %s to node", "KafkaConnectionError: Connection at a:1 closed", name="aiokafka.consumer"),
    ]
    assert [folding.filter(line) for line in lines] == [True, False, False, False, False]
    assert folding.filter(record("Topic %s is not authorized", "tickets"))


def test_the_same_words_of_two_loggers_are_two_kinds(clock: Clock) -> None:
    folding = Folding(clock)
    assert [folding.filter(record("boom", name=name)) for name in ("faust.a", "faust.b", "faust.a")] == [
        True,
        True,
        False,
    ]


def test_the_late_error_of_a_request_that_was_given_up_is_not_written(clock: Clock) -> None:
    folding = Folding(clock)
    for error, written in ((UnknownMemberIdError("g"), False), (ValueError("a defect"), True)):
        line = record("Task exception was never retrieved", name="asyncio")
        line.exc_info = (type(error), error, None)
        assert folding.filter(line) is written


def test_that_a_new_cluster_has_no_coordinator_yet_is_not_written(clock: Clock) -> None:
    failed = "Group Coordinator Request failed: %s"
    for error, written in ((GroupCoordinatorNotAvailableError(), False), (UnknownMemberIdError("g"), True)):
        assert Folding(clock).filter(record(failed, error, name="aiokafka.consumer.group_coordinator")) is written


def test_a_connection_to_a_broker_that_froze_is_not_named_when_it_is_collected(clock: Clock) -> None:
    line = record("Unclosed AIOKafkaConnection\nconn: <AIOKafkaConnection host=127.0.0.1 port=9092>", name="asyncio")
    assert not Folding(clock).filter(line)
    assert Folding(clock).filter(record("Unclosed AIOKafkaProducer", name="asyncio"))


def test_an_error_of_asyncio_without_an_exception_is_written(clock: Clock) -> None:
    line = record("Task was destroyed but it is pending!", name="asyncio")
    line.exc_info = False  # type: ignore[assignment]
    assert Folding(clock).filter(line)


def test_information_is_never_left_out(clock: Clock) -> None:
    folding = Folding(clock)
    assert all(folding.filter(record("last minute", level=logging.INFO)) for _ in range(3))


def test_the_number_of_kinds_that_are_remembered_is_bounded(clock: Clock) -> None:
    folding = Folding(clock)
    for number in range(5_000):
        folding.filter(record(f"boom {number}"))
    assert len(folding._seen) == 1_000


class TestOurOwnLines:
    def test_are_one_kind_if_they_say_the_same_of_any_agent(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        log = structlog.get_logger("streams.x")
        for agent in ("classify", "score", "classify"):
            log.warning("commit failed", agent=agent, error="TimeoutError()")
        assert len(capsys.readouterr().err.splitlines()) == 1
        log.warning("commit failed", agent="classify", error="NotCoordinator()")
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_of_two_dead_letters_are_two(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        log = structlog.get_logger("streams.x")
        for offset in (1, 2):
            log.error("dead letter", topic="tickets", offset=offset, reason="not_json")
        assert len(capsys.readouterr().err.splitlines()) == 2

    def test_have_a_time_in_utc_as_have_those_of_libraries(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        structlog.get_logger("streams.x").info("hello")
        logging.getLogger("faust").error("boom %s", 1)
        logging.getLogger("asyncio").error("a task was lost")
        hello, boom, lost = capsys.readouterr().err.splitlines()
        for line in (hello, boom, lost):
            assert line[:20].count("-") == 2
            assert line.split(" ")[0].endswith("Z")
        assert "boom 1" in boom
        assert "[faust]" in boom

    def test_configuring_twice_writes_each_line_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logging()
        configure_logging()
        structlog.get_logger("streams.x").info("hello")
        assert len(capsys.readouterr().err.splitlines()) == 1
