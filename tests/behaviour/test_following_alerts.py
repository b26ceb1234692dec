"""How a worker follows the alerts."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import StopWorker
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.worker import following
from streams.worker.following import Followed, following_alerts
from tests.support.messages import alert
from tests.support.watchers import until, watched


class Heard:
    """What a worker hears."""

    def __init__(self) -> None:
        self.changes = 0
        self.failures: list[StopWorker] = []

    def changed(self, _: Followed) -> None:
        self.changes += 1


async def test_what_is_there_is_known_at_once_and_what_comes_is_heard(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    heard = Heard()
    changed = {"source": "cheap", "kind": "model_changed", "details": {}}
    async with watched(broker, model_server, tmp_path) as hedgerow:
        await hedgerow.send([alert(alert_id=str(number), **changed) for number in range(20)])
        async with following_alerts(hedgerow.settings, heard.failures.append, heard.changed) as followed:
            stale = followed.stale
            assert heard.changes == 1
            assert {tier: bool(each) for tier, each in stale.items()} == {"cheap": True, "big": False}
            assert stale["cheap"].standing[0].alert_id == "19"
            await hedgerow.send([alert(alert_id="ack", source="cheap", kind="acknowledged")])
            await until(lambda: not stale["cheap"])
            await hedgerow.send([alert(alert_id="19", **changed), alert(alert_id="20", **changed)])
            await until(lambda: bool(stale["cheap"]))
            assert stale["cheap"].standing[0].alert_id == "20"
    assert heard.changes == 4
    assert heard.failures == []


async def test_an_end_of_the_reading_is_the_end_of_the_worker(
    broker: Broker, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(following._Follower, "follow", broken)
    heard = Heard()
    async with (
        watched(broker, model_server, tmp_path) as hedgerow,
        following_alerts(hedgerow.settings, heard.failures.append, heard.changed),
    ):
        await until(lambda: bool(heard.failures))
    assert "no such thing" in str(heard.failures[0])


async def test_a_start_reads_the_alerts_once(
    broker: Broker, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[object] = []
    to_the_end = following.to_the_end

    def counted(consumer: object) -> object:
        read.append(consumer)
        return to_the_end(consumer)

    monkeypatch.setattr(following, "to_the_end", counted)
    async with watched(broker, model_server, tmp_path) as hedgerow, hedgerow.worker("score"):
        assert len(read) == 1
