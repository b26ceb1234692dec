"""Fixtures for every test: the brokers, each started once per test run and only when a test asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streams.sandbox.broker import Broker
from streams.sandbox.embedded import EmbeddedBroker
from streams.sandbox.kafka import LocalKafka
from streams.sandbox.model.process import ModelServer
from streams.sandbox.tickets import TRAIN
from tests.brokers import require_kafka, run_apart


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


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Either broker: a test that takes this runs once on each."""
    chosen: Broker = request.getfixturevalue(f"{request.param}_broker")
    return chosen
