"""Alerts that belong to no ticket: in their order, through a broker that is unavailable, and not lost at a stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from schemas import Alert
from streams.errors import GiveUp, StopWorker
from streams.worker import alerting
from streams.worker.alerting import MOST_WAITING, AlertSender


def alert(number: int) -> Alert:
    return Alert(alert_id=f"a-{number}", source="cheap:m", kind="endpoint_down", at_ms=number, summary=f"no. {number}")


class FakeBroker:
    """Takes alerts while it is up; refuses those in ``never`` for good."""

    def __init__(self) -> None:
        self.up = True
        self.never: set[str] = set()
        self.taken: list[int] = []
        self.told: list[Alert] = []

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[FakeBroker]:
        if not self.up:
            raise StopWorker("no broker answers")
        yield self

    async def send(self, messages: Sequence[Alert]) -> None:
        await asyncio.sleep(0)
        for message in messages:
            if message.alert_id in self.never:
                raise GiveUp("too large", reason="output_too_large")
            self.taken.append(message.at_ms)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    monkeypatch.setattr(alerting, "_PAUSE_S", 0.0)
    return FakeBroker()


def sender(broker: FakeBroker) -> AlertSender:
    return AlertSender(broker.connect, broker.told.append)


async def test_what_is_queued_at_a_stop_is_sent() -> None:
    broker = FakeBroker()
    alerts = sender(broker)
    async with alerts.running():
        for number in range(5):
            alerts.tell(alert(number))
        assert broker.taken == []
    assert broker.taken == [0, 1, 2, 3, 4]
    assert len(broker.told) == 5


async def test_nothing_is_dropped_while_the_broker_is_unavailable_and_one_line_says_so(broker: FakeBroker) -> None:
    broker.up = False
    alerts = sender(broker)
    with capture_logs() as lines:
        async with alerts.running():
            alerts.tell(alert(1))
            alerts.tell(alert(2))
            for _ in range(50):
                await asyncio.sleep(0)
            assert [line["event"] for line in lines] == ["alerts wait for the broker"]
            broker.up = True
    assert broker.taken == [1, 2]
    assert lines[-1]["event"] == "alerts that waited were sent"


async def test_a_stop_waits_for_an_unavailable_broker_no_longer_than_it_may(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "_STOP_WAIT_S", 0.01)
    broker.up = False
    alerts = sender(broker)
    with capture_logs() as lines:
        async with alerts.running():
            alerts.tell(alert(1))
    assert (lines[-1]["event"], lines[-1]["count"]) == ("alerts were not sent", 1)


async def test_of_too_many_the_oldest_are_dropped_and_one_line_says_so(broker: FakeBroker) -> None:
    alerts = sender(broker)
    with capture_logs() as lines:
        for number in range(MOST_WAITING + 3):
            alerts.tell(alert(number))
        assert len(lines) == 1
        async with alerts.running():
            pass
    assert broker.taken == list(range(3, MOST_WAITING + 3))
    assert lines[-1] == {"event": "alerts that waited were sent", "dropped": 3, "log_level": "info"}


async def test_an_alert_that_no_broker_takes_holds_no_other_up(broker: FakeBroker) -> None:
    broker.never = {"a-1"}
    alerts = sender(broker)
    async with alerts.running():
        for number in range(3):
            alerts.tell(alert(number))
    assert broker.taken == [0, 2]


async def test_what_another_worker_has_told_by_its_turn_is_left_out(
    broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerting, "TURN_S", 0.01)
    on_topic = {"a-1"}
    alerts = AlertSender(broker.connect, broker.told.append, lambda told: told.alert_id in on_topic, lambda: 2)
    async with alerts.running():
        for number in range(3):
            alerts.tell(alert(number))
    assert broker.taken == [0, 2]
    assert len(broker.told) == 3
