"""How a worker learns that its policy is stale."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from schemas import Tier
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.errors import StopWorker
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.worker import stale_policy
from streams.worker.stale_policy import following_alerts
from tests.support.messages import alert
from tests.support.watchers import until, watched


class Heard:
    """What a worker is told."""

    def __init__(self) -> None:
        self.told: list[tuple[Tier, bool]] = []
        self.failures: list[StopWorker] = []

    def tell(self, tier: Tier, stale: bool) -> None:
        self.told.append((tier, stale))


async def test_what_is_there_is_known_at_once_and_what_comes_is_heard(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    heard = Heard()
    changed = {"source": "cheap", "kind": "model_changed", "details": {}}
    async with watched(broker, model_server, tmp_path) as hedgerow:
        await hedgerow.send([alert(alert_id=str(number), **changed) for number in range(20)])
        async with following_alerts(hedgerow.settings, heard.failures.append, heard.tell) as stale:
            assert {tier: bool(each) for tier, each in stale.items()} == {"cheap": True, "big": False}
            assert stale["cheap"].standing[0].alert_id == "19"
            await hedgerow.send([alert(alert_id="ack", source="cheap", kind="acknowledged")])
            await until(lambda: not stale["cheap"])
            await hedgerow.send([alert(alert_id="19", **changed), alert(alert_id="20", **changed)])
            await until(lambda: bool(stale["cheap"]))
            assert stale["cheap"].standing[0].alert_id == "20"
    assert heard.told[-4:] == [("cheap", True), ("big", False), ("cheap", False), ("cheap", True)]
    assert heard.failures == []


async def test_an_end_of_the_reading_is_the_end_of_the_worker(
    broker: Broker, model_server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(stale_policy._Follower, "follow", broken)
    heard = Heard()
    async with (
        watched(broker, model_server, tmp_path) as hedgerow,
        following_alerts(hedgerow.settings, heard.failures.append, heard.tell),
    ):
        await until(lambda: bool(heard.failures))
    assert "no such thing" in str(heard.failures[0])


async def test_without_probed_endpoints_nothing_is_read(model_server: ModelServer, tmp_path: Path) -> None:
    class Nowhere:
        kind = "embedded"
        bootstrap = "127.0.0.1:1"

    heard = Heard()
    connection = local_connection(Nowhere())  # type: ignore[arg-type]
    settings = demo_settings(connection, model_server.url, model_server.labels, Policy(), tmp_path, "none.")
    async with asyncio.timeout(5), following_alerts(settings, heard.failures.append, heard.tell) as stale:
        assert not any(stale.values())
