"""The runner while partitions come and go: the gate, and work that outlives its assignment."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from schemas import Message, Ticket
from streams.delivery.ledger import Commit, Ledger
from streams.errors import Hold
from tests.support.records import P0, P1, Bench, Held, answer, compute, loop_turns, record, records


@pytest.mark.parametrize("handler", [answer, compute])
async def test_behind_a_shut_gate_nothing_goes_out_until_begin(handler: object) -> None:
    bench = Bench(handler)  # type: ignore[arg-type]
    await bench.runner.close_gate(0)
    feeding = asyncio.create_task(bench.feed(records(range(3))))
    await loop_turns()
    assert not bench.sender.calls
    assert bench.low == 0
    bench.begin({P0: bench.ledger})
    await feeding
    await bench.runner.wait_idle(10)
    assert sorted(bench.sender.ticket_ids) == ["0-0", "0-1", "0-2"]
    assert bench.low == 3


async def test_a_gate_that_shuts_at_once_again_lets_nothing_out() -> None:
    """Whoever waits at the gate wakes up one turn of the loop after it opened."""
    bench = Bench(answer)
    await bench.runner.close_gate(0)
    await bench.feed([record(0)])
    await loop_turns()
    bench.assign(Ledger(0))
    await bench.runner.close_gate(0)
    await loop_turns()
    assert not bench.sender.calls
    assert bench.ledger.commit() == Commit(0, "")


async def test_shutting_the_gate_waits_for_acknowledgements_on_their_way() -> None:
    bench = Bench(answer)
    bench.sender.acknowledge.clear()
    await bench.feed([record(0)])
    await bench.sender.called.wait()
    closing = asyncio.create_task(bench.runner.close_gate(10))
    await loop_turns()
    assert not closing.done()
    bench.sender.acknowledge.set()
    await closing
    assert bench.low == 1


async def test_shutting_the_gate_does_not_wait_for_ever() -> None:
    bench = Bench(answer)
    bench.sender.acknowledge.clear()
    await bench.feed([record(0)])
    await bench.sender.called.wait()
    await bench.runner.close_gate(0.01)
    assert bench.low == 0
    bench.runner.cancel()


async def test_a_partition_that_came_back_is_not_handled_twice() -> None:
    held = Held()
    bench = Bench(held, once=False)  # so that the offset alone decides
    await bench.feed(records(range(2)))
    await held.wait_begun(2)
    bench.revoke()
    bench.assign(Ledger(0))
    await bench.feed(records(range(3)))
    await held.wait_begun(3)
    held.release_all()
    await bench.runner.wait_idle(10)
    assert held.begun == {"0-0": 1, "0-1": 1, "0-2": 1}
    assert sorted(bench.sender.ticket_ids) == ["0-0", "0-1", "0-2"]
    assert bench.ledger.commit() == Commit(3, "")


async def test_a_partition_that_came_back_is_finished_before_it_is_read_again() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed(records(range(2)))
    await held.wait_begun(2)
    bench.revoke()
    bench.assign(Ledger(0))
    held.release("0-1")
    while bench.runner.in_progress > 1:
        await bench.runner.next_change()
    await bench.feed(records(range(2)))
    held.release_all()
    await bench.runner.wait_idle(10)
    assert held.begun == {"0-0": 1, "0-1": 1}
    assert bench.low == 2


async def test_what_the_other_owner_finished_is_dropped() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed(records(range(4)))
    await held.wait_begun(4)
    bench.revoke()
    bench.assign(Ledger(2, {3}))  # 0 and 1 lie before the other's commit, 3 is in its metadata
    held.release_all()
    await bench.runner.wait_idle(10)
    assert bench.sender.ticket_ids == ["0-2"]
    assert bench.tally.counts["not_ours"] == 3
    await bench.feed(records([2, 3]))
    assert bench.ledger.commit() == Commit(4, "")
    assert held.begun.total() == 4


async def test_an_output_on_its_way_during_the_rebalance_counts_for_the_new_assignment() -> None:
    bench = Bench(answer)
    bench.sender.acknowledge.clear()
    await bench.feed([record(0)])
    await bench.sender.called.wait()
    bench.revoke()
    old = bench.ledger
    bench.assign(Ledger(0))
    bench.sender.acknowledge.set()
    await bench.runner.wait_idle(10)
    assert old.low == 0
    await bench.run([record(0)])
    assert bench.sender.ticket_ids == ["0-0"]
    assert bench.low == 1


async def test_what_was_taken_and_not_begun_is_left_to_the_next_owner() -> None:
    held = Held()
    bench = Bench(held, in_flight=1)
    await bench.feed(records(range(5)))
    await held.wait_begun(1)
    bench.revoke()
    held.release_all()
    bench.begin({})
    await bench.runner.wait_idle(10)
    assert held.begun == {"0-0": 1}
    assert bench.runner.has_room


async def test_other_partitions_are_not_touched() -> None:
    held = Held()
    bench = Bench(held)
    one = Ledger()
    bench.begin({P0: bench.ledger, P1: one})
    await bench.feed(records(range(2)))
    await bench.feed(records(range(2), partition=1), P1)
    await held.wait_begun(4)
    held.release("1-0", "1-1")
    while bench.runner.in_progress > 2:
        await bench.runner.next_change()
    assert (bench.low, one.low) == (0, 2)
    held.release_all()
    await bench.runner.wait_idle(10)


async def test_cancel_ends_everything_and_begins_nothing() -> None:
    held = Held()
    bench = Bench(held, in_flight=2)
    await bench.feed(records(range(5)))
    await held.wait_begun(2)
    bench.runner.cancel()
    await bench.runner.wait_idle(10)
    await bench.feed(records(range(5, 8)))
    await loop_turns()
    assert held.begun.total() == 2
    assert not bench.sender.calls
    assert bench.low == 0
    assert not bench.stops


async def test_waiting_is_pointless_behind_a_shut_gate_and_so_ends() -> None:
    """A worker without partitions stops at once, though a ticket of a lost partition is still in its hands."""
    held = Held()
    bench = Bench(held)
    await bench.feed([record(0)])
    await held.wait_begun(1)
    waiting = asyncio.create_task(bench.runner.wait_idle(1000))
    await loop_turns()
    assert not waiting.done()
    await bench.runner.close_gate(0)
    async with asyncio.timeout(30):
        await waiting
        await bench.runner.wait_idle(1000)
    bench.runner.cancel()


async def test_whoever_waits_for_room_is_woken_by_a_rebalance() -> None:
    """Nothing may be in progress then, so no finish would wake the reader: it would stand still for good."""
    bench = Bench(answer)
    for step in (bench.runner.forget_queued, lambda: bench.begin({P0: Ledger(0)})):
        waiting = asyncio.create_task(bench.runner.next_change())
        await loop_turns()
        step()
        async with asyncio.timeout(30):
            await waiting


@pytest.mark.parametrize("call_out", [True, False])
async def test_a_batch_of_a_lost_partition_is_not_handled_and_wakes_the_reader_all_the_same(call_out: bool) -> None:
    begun: list[str] = []

    def note(ticket: Ticket) -> Sequence[Message]:
        begun.append(ticket.ticket_id)
        return []

    async def note_later(ticket: Ticket) -> Sequence[Message]:
        return note(ticket)

    bench = Bench(note_later if call_out else note)
    taken = bench.runner.accept(P0, records(range(3)))
    bench.revoke()
    bench.begin({})
    waiting = asyncio.create_task(bench.runner.next_change())
    await loop_turns()
    await bench.runner.run(taken)
    async with asyncio.timeout(30):
        await waiting
    await loop_turns()
    assert not begun


async def test_a_computed_chunk_of_a_lost_partition_is_dropped_and_its_ids_are_not_remembered() -> None:
    bench = Bench(compute)
    await bench.runner.close_gate(0)
    feeding = asyncio.create_task(bench.feed(records(range(3))))
    await loop_turns()
    bench.runner.end()
    bench.begin({})
    await feeding
    assert not bench.sender.calls
    assert bench.tally.counts["not_ours"] == 3
    bench.assign(Ledger(0))
    await bench.run(records(range(3)))
    assert bench.sender.ticket_ids == ["0-0", "0-1", "0-2"]
    assert bench.low == 3


@pytest.mark.parametrize("in_flight", [2, 200])
async def test_work_from_a_log_that_was_reset_does_not_count_for_the_new_one(in_flight: int) -> None:
    held = Held()
    bench = Bench(held, in_flight=in_flight)
    bench.assign(Ledger(100))
    await bench.feed([record(offset, f"old-{offset}") for offset in range(100, 105)])
    await held.wait_begun(min(5, in_flight))
    begun_before = held.begun.total()
    for batch in (range(60), range(60, 110)):  # the log begins anew
        await bench.feed([record(offset, f"new-{offset}") for offset in batch])
    await loop_turns()
    assert bench.runner.in_progress == min(110, in_flight)
    held.release_all()
    await bench.runner.wait_idle(10)
    assert held.begun.total() == begun_before + 110
    assert sorted(bench.sender.ticket_ids) == sorted(f"new-{offset}" for offset in range(110))
    assert bench.ledger.commit() == Commit(110, "")
    assert not bench.stops


async def test_what_waits_from_a_log_that_was_reset_is_dropped() -> None:
    held = Held()
    bench = Bench(held, in_flight=2)
    bench.begin({P0: Ledger(100), P1: Ledger(0)})
    await bench.feed(records(range(2), partition=1), P1)
    await bench.feed([record(100, "old")])
    await held.wait_begun(2)
    await bench.feed([record(0, "new-0"), record(100, "new-100")])  # the log begins anew
    held.release_all()
    await bench.runner.wait_idle(10)
    assert sorted(bench.sender.ticket_ids) == ["1-0", "1-1", "new-0", "new-100"]


async def test_nobody_waits_for_a_ticket_that_is_held() -> None:
    """Neither a stop nor a rebalance, during which the whole group would stand still; what else is in progress is waited for."""
    busy = Held()

    async def over() -> None:
        await asyncio.Event().wait()

    async def handle(ticket: Ticket) -> Sequence[Message]:
        if ticket.ticket_id == "0-1":
            return await busy(ticket)
        raise Hold("the endpoint does not answer", over)

    bench = Bench(handle)
    await bench.feed(records(range(2)))
    await busy.wait_begun(1)
    waiting = asyncio.create_task(bench.runner.wait_idle(1000))
    await loop_turns()
    assert not waiting.done()
    busy.release_all()
    async with asyncio.timeout(30):
        await waiting
    assert bench.sender.ticket_ids == ["0-1"]
    assert bench.runner.in_progress == 1
    bench.runner.cancel()


async def test_whoever_waits_for_a_ticket_is_woken_when_it_is_held() -> None:
    silent = asyncio.Event()

    async def over() -> None:
        await asyncio.Event().wait()

    async def handle(ticket: Ticket) -> Sequence[Message]:
        await silent.wait()
        raise Hold("the endpoint does not answer", over)

    bench = Bench(handle)
    await bench.feed([record(0)])
    waiting = asyncio.create_task(bench.runner.wait_idle(1000))
    await loop_turns()
    assert not waiting.done()
    silent.set()
    async with asyncio.timeout(30):
        await waiting
    bench.runner.cancel()


class Silent:
    """A handler whose tickets are held until ``back``."""

    def __init__(self) -> None:
        self.asked = 0
        self.back = asyncio.Event()

    async def __call__(self, ticket: Ticket) -> Sequence[Message]:
        self.asked += 1
        if self.back.is_set():
            return await answer(ticket)
        raise Hold("the endpoint does not answer", self._over)

    async def _over(self) -> None:
        await self.back.wait()


async def test_a_held_ticket_whose_partition_came_back_is_handled_before_it_is_read_again() -> None:
    """Found by killing another worker of the group: it was finished without outputs, and so lost."""
    silent = Silent()
    bench = Bench(silent, in_flight=2)
    await bench.feed(records(range(2)))
    await loop_turns()
    bench.revoke()
    bench.assign(Ledger(0))
    silent.back.set()
    await loop_turns()  # from here on they are held no longer
    await bench.runner.wait_idle(10)
    assert bench.sender.ticket_ids == ["0-0", "0-1"]
    await bench.feed(records(range(3)))
    await bench.runner.wait_idle(10)
    assert bench.sender.ticket_ids == ["0-0", "0-1", "0-2"]
    assert bench.low == 3


async def test_a_held_ticket_waits_for_the_next_assignment_before_it_is_asked_about_again() -> None:
    silent = Silent()
    bench = Bench(silent)
    await bench.feed(records(range(2)))
    await loop_turns()
    bench.revoke()
    silent.back.set()
    await loop_turns()
    assert silent.asked == 2
    bench.begin({P0: Ledger(0)})
    await bench.runner.wait_idle(10)
    assert bench.sender.ticket_ids == ["0-0", "0-1"]


async def test_a_held_ticket_of_a_lost_partition_is_dropped_and_handled_when_the_partition_comes_back() -> None:
    silent = Silent()
    bench = Bench(silent)
    await bench.feed(records(range(2)))
    await loop_turns()
    bench.revoke()
    bench.begin({P1: Ledger(0)})
    silent.back.set()
    await loop_turns()  # from here on they are held no longer
    await bench.runner.wait_idle(10)
    assert (silent.asked, bench.sender.ticket_ids, bench.runner.in_progress) == (2, [], 0)
    assert bench.tally.counts["not_ours"] == 2
    bench.assign(Ledger(0))
    await bench.feed(records(range(2)))
    await bench.runner.wait_idle(10)
    assert bench.sender.ticket_ids == ["0-0", "0-1"]
