"""A right that Kafka does not give is heard of, though faust asks for no error of a group and logs one of a fetch as a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

from tests.support.records import Bench, answer
from tests.support.rigs import FakeThread, Rig
from tests.unit.delivery.test_faust_transport import OverFake


class RefusedThread(FakeThread):
    async def getmany(self, active: Iterable[Any], timeout: float) -> Mapping[Any, Sequence[Any]]:
        self.asked.set()
        raise TopicAuthorizationFailedError("tickets")

    def check_group(self) -> None:
        return None


async def test_a_fetch_that_is_refused_is_told_to_who_asks(tmp_path: Path) -> None:
    thread = RefusedThread()
    rig = Rig(tmp_path, Bench(answer), thread=thread)
    rig.consumer.check_group()
    fetcher = SimpleNamespace(should_stop=False)
    draining = asyncio.create_task(rig.drain(fetcher))
    await thread.asked.wait()
    for _ in range(10):
        await asyncio.sleep(0)
    with pytest.raises(TopicAuthorizationFailedError):
        rig.consumer.check_group()
    assert not draining.done(), "faust would start a fetcher that ends again"
    fetcher.should_stop = True
    await draining


async def test_what_keeps_a_consumer_out_of_its_group_is_raised() -> None:
    def check_errors() -> None:
        raise GroupAuthorizationFailedError("classify")

    kafka: Any = SimpleNamespace(_coordinator=SimpleNamespace(check_errors=check_errors))
    with pytest.raises(GroupAuthorizationFailedError):
        OverFake(kafka).check_group()


@pytest.mark.parametrize("kafka", [None, SimpleNamespace(_coordinator=None)])
async def test_before_there_is_a_group_there_is_nothing_to_say(kafka: Any) -> None:
    OverFake(kafka).check_group()
