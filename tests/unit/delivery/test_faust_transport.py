"""The driver's steps 1 (fetch) and 10 (commit), restoring, and rebalances, on a faust consumer whose thread is a fake."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    OffsetMetadataTooLargeError,
)
from aiokafka.structs import OffsetAndMetadata
from faust.types import TP

from streams.delivery import faust_consumer, faust_transport
from streams.delivery.faust_consumer import LoopConsumer
from streams.delivery.ledger import MAX_SPAN, Commit, Ledger, encode_finished
from streams.delivery.stage import Limits
from tests.support.records import P0, TICKETS, Bench, Held, answer, loop_turns, records
from tests.support.rigs import TP0, Rig

TP1 = TP(TICKETS, 1)


@pytest.fixture
async def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, Bench(answer))


async def test_step_1_fetch_hands_a_batch_over_as_one_event_and_the_ledger_knows_it(rig: Rig) -> None:
    await rig.consumer.fetch_once()
    event = rig.queue.get_nowait()
    assert [record.offset for record in event.value] == [0, 1, 2, 3, 4]
    assert (event.message.tp, event.message.generation_id) == (TP0, 1)
    assert rig.bench.ledger.position == 5
    assert rig.bench.ledger.unfinished == 5


@pytest.mark.parametrize("what_came", ["revoked and assigned", "revoked", "flow stopped"])
async def test_step_1_fetch_drops_a_batch_of_an_earlier_assignment_and_reads_it_again(rig: Rig, what_came: str) -> None:
    rig.bench.assign(Ledger(0))
    rig.thread.answers.clear()
    fetching = asyncio.create_task(rig.consumer.fetch_once())
    await rig.thread.asked.wait()
    if what_came == "flow stopped":
        rig.consumer.stop_flow()
    elif what_came == "revoked":
        rig.bench.runner.leave()
    else:
        rig.bench.revoke()
        rig.bench.assign(Ledger(0))
    rig.thread.answers.set()
    await fetching
    assert rig.handed_over() == []
    assert rig.bench.ledger.unfinished == 0
    assert rig.thread.rewinds == [{TP0: 0}]
    rig.consumer.resume_flow()
    await rig.consumer.fetch_once()
    assert rig.handed_over() == [0, 1, 2, 3, 4]


async def test_step_1_fetch_reads_from_the_beginning_again_where_nothing_was_ever_committed(rig: Rig) -> None:
    rig.thread.answers.clear()
    fetching = asyncio.create_task(rig.consumer.fetch_once())
    await rig.thread.asked.wait()
    rig.bench.runner.leave()
    rig.thread.answers.set()
    await fetching
    assert rig.thread.rewinds == [{TP0: None}]


@pytest.mark.parametrize("committed", [None, 3])
async def test_step_1_fetch_loses_nothing_that_was_dropped_before_the_ledgers_stood(
    rig: Rig, committed: int | None
) -> None:
    """A fetch of the old assignment that takes the first batch of the new one, while its ledgers are being restored."""
    if committed is not None:
        rig.thread.stored[TP0] = Commit(committed, "")
        rig.thread.position[TP0] = committed
    rig.thread.answers.clear()
    fetching = asyncio.create_task(rig.consumer.fetch_once())
    await rig.thread.asked.wait()
    rig.bench.revoke()
    rig.thread.answers.set()
    await fetching
    assert rig.handed_over() == []
    await rig.consumer.perform_seek()
    await rig.consumer.fetch_once()
    first = committed or 0
    assert rig.handed_over() == list(range(first, first + 5))


async def test_step_1_fetch_leaves_out_a_partition_that_ran_a_full_span_ahead(rig: Rig) -> None:
    rig.bench.assign(Ledger(0))
    rig.bench.ledger.take(range(MAX_SPAN))
    for offset in range(1, MAX_SPAN):
        rig.bench.ledger.finish(offset)
    await rig.consumer.fetch_once()
    assert not rig.thread.asked.is_set()
    rig.bench.ledger.finish(0)
    await rig.consumer.fetch_once()
    assert rig.thread.asked.is_set()


async def test_step_1_fetch_waits_while_the_agent_has_enough(tmp_path: Path) -> None:
    held = Held()
    rig = Rig(tmp_path, Bench(held, in_flight=2))
    draining = asyncio.create_task(rig.drain())
    await rig.thread.asked.wait()
    await loop_turns()
    rig.thread.asked.clear()
    while not rig.queue.empty():
        await rig.bench.runner.run(rig.queue.get_nowait().value)
    await held.wait_begun(2)
    await loop_turns()
    assert rig.thread.position[TP0] == 10  # one batch in the agent, the next waiting
    held.release_all()
    rig.thread.log[TP0] = records(range(20))
    while rig.thread.position[TP0] < 20:
        while not rig.queue.empty():
            await rig.bench.runner.run(rig.queue.get_nowait().value)
        await asyncio.sleep(0)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining


async def test_step_10_commit_is_the_first_unfinished_offset_with_the_finished_beyond_it(tmp_path: Path) -> None:
    held = Held()
    rig = Rig(tmp_path, Bench(held))
    await rig.fetch_and_run()
    await held.wait_begun(5)
    held.release("0-0", "0-2", "0-4")
    while rig.bench.runner.in_progress > 2:
        await rig.bench.runner.next_change()
    assert await rig.consumer.commit()
    expected = {TP0: Commit(1, encode_finished(1, {2, 4}))}
    assert rig.thread.commits == [expected]
    assert not await rig.consumer.commit()  # nothing moved
    assert rig.thread.commits == [expected]
    held.release_all()
    await rig.bench.runner.wait_idle(10)
    assert await rig.consumer.commit()
    assert rig.thread.stored == {TP0: Commit(5, "")}


async def test_step_10_commit_that_failed_is_made_again(rig: Rig) -> None:
    await rig.fetch_and_run()
    await rig.bench.runner.wait_idle(10)
    rig.thread.commit_succeeds = False
    assert not await rig.consumer.commit()
    rig.thread.commit_succeeds = True
    assert await rig.consumer.commit()
    assert rig.thread.commits == [{TP0: Commit(5, "")}] * 2


async def test_step_10_the_last_commit_holds_what_finished_during_another(tmp_path: Path) -> None:
    held = Held()
    rig = Rig(tmp_path, Bench(held))
    await rig.fetch_and_run()
    await held.wait_begun(5)
    rig.thread.answers.clear()
    rig.thread.asked.clear()
    periodic = asyncio.create_task(rig.consumer.commit())
    await rig.thread.asked.wait()
    held.release_all()
    await rig.bench.runner.wait_idle(10)
    leaving = asyncio.create_task(rig.consumer.wait_empty())
    await loop_turns()
    rig.thread.answers.set()
    await asyncio.gather(periodic, leaving)
    assert rig.thread.stored == {TP0: Commit(5, "")}


async def test_a_restored_ledger_skips_what_is_finished(rig: Rig) -> None:
    rig.thread.stored[TP0] = Commit(2, encode_finished(2, {3, 5}))
    await rig.consumer.perform_seek()
    assert rig.thread.rewinds == [{TP0: 2}]
    await rig.consumer.fetch_once()
    assert rig.handed_over() == [2, 4, 6]
    assert not await rig.consumer.commit()  # it stands where it was restored


async def test_a_restore_that_a_rebalance_overtook_changes_nothing(rig: Rig) -> None:
    rig.thread.answers.clear()
    restoring = asyncio.create_task(rig.consumer.perform_seek())
    await rig.thread.asked.wait()
    await rig.consumer.on_partitions_revoked({TP0})
    rig.thread.answers.set()
    await restoring
    assert rig.bench.runner.assignment.ledger(P0) is None
    assert not rig.thread.rewinds


async def test_a_broker_that_does_not_say_what_was_committed_ends_the_worker(tmp_path: Path) -> None:
    rig = Rig(tmp_path, Bench(answer), Limits(restore_wait_s=0.01))
    rig.thread.answers.clear()
    with pytest.raises(TimeoutError):
        await rig.consumer.perform_seek()


async def test_a_broker_that_is_unavailable_for_long_does_not_end_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faust_transport, "_DIAL_S", 0.0)
    asked = asyncio.Event()

    async def unavailable() -> bool:
        asked.set()
        return False

    rig = Rig(tmp_path, Bench(answer, assigned=False), Limits(restore_wait_s=0.01))
    rig.consumer._broker_answers = unavailable
    rig.thread.answers.clear()
    await rig.consumer.perform_seek()  # faust goes on, and nothing is read
    await asked.wait()
    await rig.consumer.fetch_once()
    assert rig.handed_over() == []
    rig.thread.answers.set()
    while rig.bench.runner.assignment.ledger(P0) is None:
        await asyncio.sleep(0.001)
    await rig.consumer.fetch_once()
    assert rig.handed_over() == [0, 1, 2, 3, 4]


async def test_waiting_at_a_revocation_is_bounded(tmp_path: Path) -> None:
    held = Held()
    rig = Rig(tmp_path, Bench(held), Limits(revoke_wait_s=0.01, gate_wait_s=0.01))
    await rig.fetch_and_run()
    await held.wait_begun(5)
    await rig.consumer.wait_empty()
    assert rig.thread.stored == {TP0: Commit(0, "")}
    held.release_all()
    await loop_turns()
    assert not rig.bench.sender.calls  # the gate is shut
    rig.bench.runner.cancel()


class FakeKafka:
    """The aiokafka consumer, as far as LoopConsumer uses it."""

    def __init__(self, *refusals: Exception | None) -> None:
        self.refusals = list(refusals)
        self.committed: list[dict[TopicPartition, OffsetAndMetadata]] = []
        self.sought: list[tuple[TopicPartition, int]] = []
        self.beginnings: list[TopicPartition] = []
        self.hang = False
        self.closed: list[str] = []
        self._client = SimpleNamespace(close=self._close_client)
        self.ended: list[str] = []
        self._coordinator = SimpleNamespace(
            _heartbeat_task=SimpleNamespace(cancel=lambda: self.ended.append("heartbeat")), _commit_refresh_task=None
        )
        self._fetcher = SimpleNamespace(_fetch_task=SimpleNamespace(cancel=lambda: self.ended.append("fetch")))

    async def _close_client(self) -> None:
        self.closed.append("client")

    async def stop(self) -> None:
        if self.hang:
            await asyncio.Event().wait()
        raise asyncio.CancelledError

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(TICKETS, 0), TopicPartition(TICKETS, 1)}

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata]) -> None:
        if self.hang:
            await asyncio.Event().wait()
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.committed.append(offsets)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought.append((partition, offset))

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self.beginnings.extend(partitions)


class OverFake(LoopConsumer):  # type: ignore[misc]
    """Over the fake, not started."""

    def __init__(self, kafka: FakeKafka) -> None:
        self._consumer = kafka


class TestLoopConsumer:
    async def test_commits_offset_and_metadata_of_what_is_still_assigned(self) -> None:
        kafka = FakeKafka()
        lost = TP(TICKETS, 7)
        assert await OverFake(kafka).commit_ledgers({TP0: Commit(5, "m"), lost: Commit(9, "")}, 1)
        assert kafka.committed == [{TopicPartition(TICKETS, 0): OffsetAndMetadata(5, "m")}]

    async def test_nothing_assigned_is_no_commit(self) -> None:
        kafka = FakeKafka()
        assert not await OverFake(kafka).commit_ledgers({TP(TICKETS, 7): Commit(9, "")}, 1)
        assert not kafka.committed

    @pytest.mark.parametrize(
        "error", [CommitFailedError("rebalanced"), IllegalStateError("not assigned"), KafkaConnectionError("away")]
    )
    async def test_a_commit_that_fails_is_left_to_the_next(self, error: Exception) -> None:
        assert not await OverFake(FakeKafka(error)).commit_ledgers({TP0: Commit(5, "")}, 1)

    async def test_a_commit_that_is_not_answered_is_given_up(self) -> None:
        kafka = FakeKafka()
        kafka.hang = True
        assert not await OverFake(kafka).commit_ledgers({TP0: Commit(5, "")}, 0.01)

    async def test_a_broker_with_little_room_for_metadata_gets_the_offsets_alone(self) -> None:
        kafka = FakeKafka(OffsetMetadataTooLargeError())
        assert await OverFake(kafka).commit_ledgers({TP0: Commit(5, "m" * 4000)}, 1)
        assert kafka.committed == [{TopicPartition(TICKETS, 0): OffsetAndMetadata(5, "")}]

    @pytest.mark.parametrize("how", ["lets a cancellation of its own out", "hangs"])
    async def test_stops_though_aiokafka_does_not(self, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(faust_consumer, "_STOP_S", 0.01)
        kafka = FakeKafka()
        kafka.hang = how == "hangs"
        await OverFake(kafka).on_thread_stop()
        assert kafka.closed == ["client"]
        assert kafka.ended == ["heartbeat", "fetch"], "they would connect again"

    async def test_the_cancellation_of_the_stop_itself_passes_through(self) -> None:
        kafka = FakeKafka()
        kafka.hang = True
        stopping = asyncio.create_task(OverFake(kafka).on_thread_stop())
        await loop_turns()
        stopping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopping

    async def test_rewinds_to_offsets_and_to_the_beginning(self) -> None:
        kafka = FakeKafka()
        await OverFake(kafka).rewind({TP0: 4, TP1: None, TP(TICKETS, 7): 1, TP(TICKETS, 8): None})
        assert kafka.sought == [(TopicPartition(TICKETS, 0), 4)]
        assert kafka.beginnings == [TopicPartition(TICKETS, 1)]


async def test_a_revocation_finishes_commits_and_forgets(tmp_path: Path) -> None:
    held = Held()
    rig = Rig(tmp_path, Bench(held, in_flight=2))
    await rig.fetch_and_run()
    await held.wait_begun(2)
    rig.thread.asked.clear()
    rig.thread.answers.clear()
    fetching = asyncio.create_task(rig.consumer.fetch_once())
    await rig.thread.asked.wait()
    revoking = asyncio.create_task(rig.consumer.on_partitions_revoked({TP0}))
    await loop_turns()
    assert not revoking.done()
    held.release_all()
    rig.thread.answers.set()
    await revoking
    await fetching
    assert rig.thread.stored == {TP0: Commit(2, "")}  # what was begun is finished, what only waited is left
    assert held.begun.total() == 2
    assert rig.bench.runner.assignment.ledger(P0) is None
    assert rig.handed_over() == []  # the fetch was on its way since before
    assert not rig.consumer.flow_active


async def test_an_assignment_makes_older_batches_stale(rig: Rig) -> None:
    rig.thread.answers.clear()
    fetching = asyncio.create_task(rig.consumer.fetch_once())
    await rig.thread.asked.wait()
    await rig.assign({TP0}, 2)
    rig.thread.answers.set()
    await fetching
    assert rig.handed_over() == []
    assert rig.bench.ledger.unfinished == 0


async def test_a_worker_without_partitions_reports_that(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[int] = []
    monkeypatch.setattr(rig.bench.tally, "rebalanced", lambda agent, partitions, seconds: reported.append(partitions))
    await rig.assign(set(), 2)
    assert reported == [0]
    await rig.assign({TP0}, 3)
    await rig.consumer.perform_seek()
    assert reported == [0, 1]


async def test_between_two_assignments_nothing_is_committed(rig: Rig) -> None:
    await rig.fetch_and_run()
    await rig.bench.runner.wait_idle(10)
    rig.bench.revoke()
    assert not await rig.consumer.commit()
    assert not rig.thread.commits


async def test_what_was_committed_under_one_assignment_is_not_known_to_the_next(rig: Rig) -> None:
    """Another owner may have committed something else meanwhile."""
    await rig.fetch_and_run()
    await rig.bench.runner.wait_idle(10)
    await rig.consumer.commit()
    rig.bench.revoke()
    rig.bench.assign(Ledger(5))
    await rig.consumer.commit()
    assert rig.thread.commits == [{TP0: Commit(5, "")}] * 2
