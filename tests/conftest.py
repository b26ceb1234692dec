"""Fixtures for every test: the brokers, each started once per test run and only when a test asks for it; the command line."""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path

import pytest
import structlog
from typer.main import get_command

from streams.cli.main import app, main
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.model_server.training import TrainedModels, read_training_set, train
from streams.sandbox.tickets import TRAIN
from tests.support.brokers import require_kafka, run_apart
from tests.support.commands import Hedgerow, Said

# A shell may give its width away, and what a command prints then breaks where a pipe has one line.
os.environ.pop("COLUMNS", None)

#: The kinds of tests, those of the longest files first: at the end of a run no process is left alone with one.
KINDS = ("e2e", "chaos", "behaviour", "property", "unit")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, a quarter of the time: nearly all that is made here stays."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the long files first."""
    tests = Path(__file__).parent
    items.sort(key=lambda item: KINDS.index(item.path.relative_to(tests).parts[0]))


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """One embedded broker for the whole run; use topic and group names of your own."""
    broker = EmbeddedBroker()
    run_apart(broker.start())
    yield broker
    run_apart(broker.stop())


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[LocalKafka]:
    """One Apache Kafka of a single node for the whole run; use topic and group names of your own."""
    require_kafka()
    broker = LocalKafka()
    run_apart(broker.start())
    yield broker
    run_apart(broker.stop())


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    """One model server, trained on the bundled tickets, for the whole run; switch its faults off again."""
    server = ModelServer(TRAIN)
    run_apart(server.start())
    yield server
    run_apart(server.stop())


@pytest.fixture(scope="session")
def trained() -> TrainedModels:
    """The two models of that server in this process, trained on the bundled tickets once for the whole run."""
    return train(read_training_set(TRAIN))


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker: a test that takes this runs once on each."""
    chosen: Broker = request.getfixturevalue(f"{request.param}_broker")
    return chosen


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Undo what a test, or a command in its process, has set of the log: its level, and the standard error of that test."""
    root, ours = logging.getLogger(), logging.getLogger("streams")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@cache
def _put_together() -> Callable[[], object]:
    """All commands, as `main` puts them together at every call."""
    return get_command(app)


@pytest.fixture
def hedgerow(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Hedgerow:
    """Run a command in this process, as the installed script would."""

    def run(*arguments: object, stdin: bytes | None = None) -> Said:
        monkeypatch.setattr(sys, "argv", ["hedgerow", *map(str, arguments)])
        # Under the module's name the package has the function.
        monkeypatch.setattr(sys.modules[main.__module__], "app", _put_together())
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsysbinary.readouterr()
        return Said(int(ended.value.code or 0), captured.out.decode(), captured.err.decode())

    return run
