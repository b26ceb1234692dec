"""A consumer that stops while its broker is away: the cancellation of its own fetch is not its caller's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from streams.kafka.consumers import stop_consumer


class Away:
    """A consumer whose stop raises the cancellation of its fetch, at once or once it is cancelled."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.stops = asyncio.Event()
        self.ended: list[str] = []
        self._coordinator = None
        self._fetcher = SimpleNamespace(_fetch_task=SimpleNamespace(cancel=lambda: self.ended.append("fetch")))
        self._client = SimpleNamespace(close=self._close)

    async def _close(self) -> None:
        self.ended.append("client")

    async def stop(self) -> None:
        self.stops.set()
        if self.hangs:
            await asyncio.Event().wait()
        raise asyncio.CancelledError


async def test_a_cancellation_of_its_own_stays_inside() -> None:
    consumer = Away()
    await stop_consumer(consumer)
    assert consumer.ended == ["fetch", "client"]


async def test_that_of_the_caller_comes_out_and_the_client_is_closed_all_the_same() -> None:
    consumer = Away(hangs=True)
    stopping = asyncio.create_task(stop_consumer(consumer))
    await consumer.stops.wait()
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert consumer.ended == ["fetch", "client"]
