"""Alerts and new reviews are posted by a worker; a webhook that hangs or fails never stops a ticket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from schemas import Ticket
from streams.agents.registry import AGENTS
from streams.kafka.send import publish
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.webhooks.webhook import Webhook
from streams.worker.worker import Worker
from tests.support.messages import alert, attempt, call, review
from tests.support.pipelines import PATIENCE_S, pipeline


@dataclass
class Receiver:
    """Takes posts and answers with ``status``; with ``hangs`` never."""

    url: str = ""
    status: int = 204
    hangs: bool = False
    posts: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.posts.append(await request.json())
        if self.hangs:
            await asyncio.Event().wait()
        return web.Response(status=self.status)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while len(self.posts) < count:
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/hook", self.answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield
        finally:
            await runner.cleanup()

    def told(self, settings: Settings) -> Settings:
        webhook = Webhook(
            name="hook", url=self.url, about=("alerts", "reviews"), every_s=1.0, timeout_s=1.0, attempts=2
        )
        return settings.model_copy(update={"webhooks": (webhook,)})


async def test_an_alert_and_a_flood_of_reviews_are_one_message_each(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    receiver, now_ms = Receiver(), time.time_ns() // 1_000_000
    calls = (call(attempts=(attempt(at_ms=now_ms),)),)
    async with (
        receiver.listening(),
        pipeline(broker, model_server, tmp_path, agents=("notify", "announce"), change=receiver.told) as run,
    ):
        connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
        old = alert(alert_id="old", at_ms=now_ms - 8 * 3_600_000)
        await publish([old, alert(at_ms=now_ms)], connection, prefix=prefix)
        await receiver.until(1)
        assert [post["data"]["alert_id"] for post in receiver.posts] == ["alert-1"]
        await publish([review(f"t-{number}", calls=calls) for number in range(300)], connection, prefix=prefix)
        await receiver.until(2)
        assert receiver.posts[1]["data"]["count"] == 300
    assert len(receiver.posts) == 2


async def test_an_alert_that_comes_again_is_posted_once_after_a_restart_too(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    receiver, now_ms = Receiver(), time.time_ns() // 1_000_000
    first, second, third = (alert(alert_id=name, at_ms=now_ms) for name in ("first", "second", "third"))
    async with receiver.listening():
        async with pipeline(broker, model_server, tmp_path, agents=("notify",), change=receiver.told) as run:
            connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
            await publish([first], connection, prefix=prefix)
            await receiver.until(1)
            await publish([first, second], connection, prefix=prefix)
            await receiver.until(2)
        again = Worker(run.settings, ("notify",))
        working = asyncio.create_task(again.run())
        try:
            await publish([first, second, third], connection, prefix=prefix)
            await receiver.until(3)
        finally:
            again.stop()
            await working
    assert [post["data"]["alert_id"] for post in receiver.posts] == ["first", "second", "third"]


async def test_tickets_pass_while_webhooks_hang_or_fail(
    broker: Broker, model_server: ModelServer, tmp_path: Path
) -> None:
    receiver = Receiver(hangs=True)
    async with (
        receiver.listening(),
        pipeline(broker, model_server, tmp_path, agents=(*AGENTS, "notify", "announce"), change=receiver.told) as run,
    ):
        connection, prefix = run.settings.broker.connection, run.settings.topics.prefix
        now_ms = time.time_ns() // 1_000_000
        await publish([alert(alert_id=f"a-{number}", at_ms=now_ms) for number in range(30)], connection, prefix=prefix)
        await receiver.until(1)
        tickets = [Ticket(ticket_id=f"t-{number}", text="Where is my refund?") for number in range(20)]
        await publish(tickets, connection, prefix=prefix)
        await run.until(lambda: len(run.results) == 20)
        receiver.hangs, receiver.status = False, 500
        more = [Ticket(ticket_id=f"m-{number}", text="Where is my refund?") for number in range(20)]
        await publish(more, connection, prefix=prefix)
        await run.until(lambda: len(run.results) == 40)
        assert not run.letters
