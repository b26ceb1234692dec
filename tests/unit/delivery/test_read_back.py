"""Reading back what a group has committed: only what is decided, in either version of the request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, KafkaError
from faust.types import TP

from streams.delivery import faust_consumer as module
from streams.delivery.faust_consumer import read_back
from streams.delivery.ledger import Commit

P0, P1 = TP("tickets", 0), TP("tickets", 1)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ASK_AGAIN_S", 0.0)


class FakeCoordinator:
    """aiokafka's group coordinator as far as it is asked; answers are given oldest first."""

    group_id = "group"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.died = 0

    async def ensure_coordinator_known(self) -> None:
        return

    def coordinator_dead(self) -> None:
        self.died += 1

    async def _send_req(self, request: Any) -> Any:
        self.asked.append(request.prepare({9: (1, 9)}))
        answer = self.answers.pop(0)
        if isinstance(answer, KafkaError):
            raise answer
        return answer


def new(*rows: tuple[int, int, str | None, int], error: int = 0) -> Any:
    """An answer in version 7 with these (partition, offset, metadata, error code)."""
    partitions = [(number, offset, -1, text, code, {}) for number, offset, text, code in rows]
    return SimpleNamespace(topics=[("tickets", partitions, {})], error_code=error)


def old(*rows: tuple[int, int, str | None, int]) -> Any:
    """The same in version 3."""
    return SimpleNamespace(topics=[("tickets", list(rows))], error_code=0)


@pytest.mark.parametrize("version", [new, old])
async def test_a_partition_without_a_commit_is_left_out(version: Any) -> None:
    coordinator = FakeCoordinator(version((0, 7, "h1", 0), (1, -1, None, 0)))
    assert await read_back(coordinator, [P0, P1]) == {P0: Commit(7, "h1")}
    assert coordinator.asked[0].require_stable


async def test_metadata_that_the_broker_has_dropped_is_none() -> None:
    assert await read_back(FakeCoordinator(new((0, 7, None, 0))), [P0]) == {P0: Commit(7, "")}


@pytest.mark.parametrize(
    "busy", [new((0, 3, "", 88)), new(error=14), old((0, 3, "", 14)), KafkaConnectionError("gone")]
)
async def test_offsets_of_an_undecided_transaction_and_a_coordinator_that_loads_are_waited_for(busy: Any) -> None:
    coordinator = FakeCoordinator(busy, busy, new((0, 7, "", 0)))
    assert await read_back(coordinator, [P0]) == {P0: Commit(7, "")}
    assert coordinator.died == 0


@pytest.mark.parametrize("moved", [new(error=16), new((0, -1, "", 16))])
async def test_a_coordinator_that_has_moved_is_looked_up_again(moved: Any) -> None:
    coordinator = FakeCoordinator(moved, new((0, 7, "", 0)))
    assert await read_back(coordinator, [P0]) == {P0: Commit(7, "")}
    assert coordinator.died == 1


async def test_a_refusal_is_raised() -> None:
    with pytest.raises(GroupAuthorizationFailedError):
        await read_back(FakeCoordinator(new(error=30)), [P0])
