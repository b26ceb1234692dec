"""Exactly once, letter by letter (docs/exactly-once.md): the gate, the transaction, and what becomes of a lost one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from streams.delivery.assignment import Phase
from streams.delivery.commit import AtLeastOnce, ExactlyOnce
from streams.delivery.ledger import Commit, encode_finished
from streams.delivery.stage import Limits
from streams.delivery.transactions import Member
from streams.errors import GiveUp, StopWorker
from streams.kafka.outbox import TransactionLost
from tests.support.records import P0, Bench, FakeSender, Held, answer, compute, loop_turns, records
from tests.support.rigs import TP0, Rig

MEMBER = Member("rig", 7, "me")


class FakeTransactions:
    """Takes what the sender was given since the last commit, together with offsets; ``refusals`` are raised, oldest first."""

    def __init__(self, sender: FakeSender) -> None:
        self.sender = sender
        self.open = True
        self.begun = 0
        self.refusals: list[Exception] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()
        self.away: list[StopWorker] = []
        self.committed: list[tuple[Member, dict[tuple[str, int], Commit], list[str]]] = []
        self._from = 0

    def producer(self, before: object = None) -> Any:
        if not self.open:
            raise TransactionLost("gone")

    def lose(self) -> None:
        self.open = False

    async def begin(self) -> None:
        if self.away:
            raise self.away.pop(0)
        if not self.open:
            self._from = len(self.sender.sent)
            self.open = True
        self.begun += 1

    async def commit(self, member: Member, commits: Mapping[tuple[str, int], Commit], wait_s: float) -> None:
        self.asked.set()
        await self.answers.wait()
        if self.refusals:
            self.lose()
            raise self.refusals.pop(0)
        sent = self.sender.ticket_ids[self._from :]
        self._from = len(self.sender.sent)
        self.committed.append((member, dict(commits), sent))

    @property
    def visible(self) -> list[str]:
        """What a consumer of committed messages sees."""
        return [ticket_id for _, _, sent in self.committed for ticket_id in sent]


class Exact(Rig):
    """A rig that commits exactly once."""

    def __init__(self, tmp_path: Path, handler: Any, **bench: Any) -> None:
        sender = FakeSender()
        sender.final = False
        limits = Limits(revoke_wait_s=0.01, gate_wait_s=0.01, commit_wait_s=1.0)
        made = Bench(handler, sender=sender, assigned=False, **bench)
        self.transactions = FakeTransactions(sender)
        committing = ExactlyOnce(self.transactions, made.runner.dispatch, limits)  # type: ignore[arg-type]
        super().__init__(tmp_path, made, limits, committing)
        self.sender = sender
        self.thread.member_now = MEMBER

    async def commit(self) -> bool:
        """One commit; what it committed is what the broker tells from then on."""
        before = len(self.transactions.committed)
        done = await self.consumer.commit()
        for _, commits, _ in self.transactions.committed[before:]:
            self.thread.stored.update({TP(*place): commit for place, commit in commits.items()})
        return done

    async def all_handled(self, count: int) -> None:
        while self.bench.tally.counts["handled"] < count:
            await self.bench.runner.next_change()


@pytest.fixture
async def exact(tmp_path: Path) -> Exact:
    rig = Exact(tmp_path, answer)
    await rig.consumer.perform_seek()
    return rig


async def test_step_a_hold_keeps_outputs_back_while_a_commit_is_made(tmp_path: Path) -> None:
    held = Held()
    rig = Exact(tmp_path, held)
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    await held.wait_begun(5)
    held.release("0-0")
    await rig.all_handled(1)
    rig.transactions.answers.clear()
    committing = asyncio.create_task(rig.commit())
    await rig.transactions.asked.wait()
    held.release("0-1")
    await loop_turns()
    assert rig.sender.ticket_ids == ["0-0"]
    rig.transactions.answers.set()
    assert await committing
    await rig.all_handled(2)
    assert rig.transactions.visible == ["0-0"]
    held.release_all()


async def test_step_a_hold_waits_for_what_is_on_its_way_and_else_leaves_it_to_the_next_commit(exact: Exact) -> None:
    exact.sender.acknowledge.clear()
    await exact.fetch_and_run()
    await exact.sender.called.wait()
    assert not await exact.commit()
    assert not exact.transactions.committed
    exact.sender.acknowledge.set()
    await exact.all_handled(5)
    assert await exact.commit()
    assert sorted(exact.transactions.visible) == [f"0-{n}" for n in range(5)]


async def test_step_b_offsets_go_in_with_metadata_and_the_generation_of_the_assignment(tmp_path: Path) -> None:
    held = Held()
    rig = Exact(tmp_path, held)
    await rig.consumer.perform_seek()
    rig.thread.member_now = Member("rig", 8, "me")  # a rebalance that has not come to us yet
    await rig.fetch_and_run()
    await held.wait_begun(5)
    held.release("0-0", "0-2", "0-4")
    await rig.all_handled(3)
    assert await rig.commit()
    member, commits, sent = rig.transactions.committed[0]
    assert member == MEMBER
    assert commits == {P0: Commit(1, encode_finished(1, {2, 4}))}
    assert sent == ["0-0", "0-2", "0-4"]
    held.release_all()


async def test_step_c_commit_makes_final_and_only_what_moved_is_committed(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    assert await exact.commit()
    assert not exact.bench.runner.dispatch.undecided
    assert not await exact.commit()
    assert len(exact.transactions.committed) == 1


async def test_step_d_begin_lets_outputs_out_again(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    await exact.commit()
    await exact.fetch_and_run()
    await exact.all_handled(10)
    await exact.commit()
    assert [len(sent) for _, _, sent in exact.transactions.committed] == [5, 5]


@pytest.mark.parametrize("committed_after_all", [False, True])
async def test_step_e_and_f_what_was_lost_goes_out_again_without_another_call(
    tmp_path: Path, committed_after_all: bool
) -> None:
    held = Held()
    held.everything = True
    rig = Exact(tmp_path, held)
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    await rig.all_handled(5)
    rig.transactions.refusals.append(TransactionLost("no answer"))
    if committed_after_all:  # the answer was lost, and nothing else
        rig.thread.stored[TP0] = Commit(5, "")
    await rig.commit()
    await rig.bench.runner.wait_idle(10)
    await rig.commit()
    assert sorted(rig.transactions.visible) == ([] if committed_after_all else [f"0-{n}" for n in range(5)])
    assert rig.bench.tally.counts["retried TransactionLost"] == 1
    assert held.begun.total() == 5
    while rig.thread.position[TP0] < 10:
        await rig.fetch_and_run()
    await rig.bench.runner.wait_idle(10)
    await rig.commit()
    assert held.begun.total() == 10
    assert len(rig.transactions.visible) == (5 if committed_after_all else 10)
    assert rig.thread.stored == {TP0: Commit(10, "")}


async def test_step_f_a_stage_that_computes_computes_again(tmp_path: Path) -> None:
    rig = Exact(tmp_path, compute)
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    rig.transactions.refusals.append(TransactionLost("fenced"))
    await rig.commit()
    await rig.fetch_and_run()
    await rig.commit()
    assert rig.transactions.visible == [f"0-{n}" for n in range(5)]


async def test_step_e_what_is_on_its_way_when_partitions_are_revoked_is_given_up(exact: Exact) -> None:
    exact.sender.acknowledge.clear()
    await exact.fetch_and_run()
    await exact.sender.called.wait()
    await exact.consumer.wait_empty()
    exact.bench.runner.end()
    assert not exact.transactions.open
    assert not exact.transactions.committed
    exact.bench.runner.cancel()


async def test_a_revocation_commits_first(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    await exact.consumer.wait_empty()
    assert [commits for _, commits, _ in exact.transactions.committed] == [{P0: Commit(5, "")}]
    assert exact.transactions.open


async def test_step_e_a_revocation_whose_commit_fails_leaves_all_to_the_next_owner(tmp_path: Path) -> None:
    rig = Exact(tmp_path, answer)
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    await rig.all_handled(5)
    rig.transactions.refusals.append(TransactionLost("the generation is over"))
    await rig.consumer.wait_empty()
    rig.bench.runner.end()
    begun = rig.transactions.begun
    assert not rig.transactions.open
    rig.thread.stored[TP0] = Commit(5, "")  # the next owner was quick, and gave the partition back
    await rig.consumer.perform_seek()
    assert rig.transactions.begun == begun + 1
    await rig.bench.runner.wait_idle(10)
    await rig.commit()
    assert rig.transactions.visible == []
    assert rig.bench.tally.counts["not_ours"] == 5


async def test_a_transaction_that_is_lost_while_partitions_are_given_back_is_lost_once(exact: Exact) -> None:
    """The commits that follow, at the end of the revocation and by the timer, have nothing to give up and nothing to restore."""
    await exact.fetch_and_run()
    await exact.all_handled(5)
    exact.bench.runner.leave()
    exact.transactions.refusals.append(TransactionLost("no answer"))
    begun = exact.transactions.begun
    for _ in range(3):
        assert not await exact.commit()
    await exact.consumer.wait_empty()
    assert exact.bench.tally.counts["retried TransactionLost"] == 1
    assert exact.transactions.begun == begun
    assert exact.bench.runner.assignment.phase is Phase.NONE
    assert exact.bench.runner.dispatch.gate.is_shut


async def test_a_revocation_ends_the_attempts_to_restore_what_was_lost(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    exact.transactions.refusals.append(TransactionLost("no answer"))
    exact.transactions.away = [StopWorker("no Kafka broker answers")]
    await exact.commit()
    assert exact.bench.runner.assignment.phase is Phase.LOST
    begun = exact.transactions.begun
    await exact.consumer.wait_empty()
    assert exact.transactions.begun == begun
    assert exact.bench.runner.assignment.phase is Phase.NONE
    await exact.consumer.perform_seek()
    await exact.bench.runner.wait_idle(10)
    await exact.commit()
    assert sorted(exact.transactions.visible) == [f"0-{n}" for n in range(5)]


async def test_an_id_whose_output_was_lost_is_not_remembered_as_finished(tmp_path: Path) -> None:
    """Else the ticket would be finished without an output when its partition comes back."""
    rig = Exact(tmp_path, compute)
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    rig.transactions.refusals.append(TransactionLost("the generation is over"))
    await rig.consumer.wait_empty()
    rig.bench.runner.end()
    await rig.consumer.perform_seek()
    await rig.fetch_and_run()
    await rig.commit()
    assert rig.transactions.visible == [f"0-{n}" for n in range(5)]


async def test_a_send_that_outlives_its_transaction_goes_out_in_the_next_one(exact: Exact) -> None:
    exact.sender.refusals.append(TransactionLost("another send has found it out"))
    exact.transactions.lose()
    await exact.fetch_and_run()
    await loop_turns()
    assert exact.bench.runner.dispatch.gate.is_shut
    await exact.commit()
    await exact.bench.runner.wait_idle(10)
    await exact.commit()
    assert sorted(exact.transactions.visible) == [f"0-{n}" for n in range(5)]


@pytest.mark.parametrize("handler", [answer, compute])
async def test_an_output_that_is_refused_costs_a_transaction_and_no_more(tmp_path: Path, handler: Any) -> None:
    """A refused batch leaves a gap in the producer's numbering, so that its transaction is lost; the letter goes out in the next."""
    rig = Exact(tmp_path, handler)
    await rig.consumer.perform_seek()

    def refuse(message: Any) -> Exception | None:
        if getattr(message, "ticket_id", "") == "0-2":
            rig.transactions.lose()
            return GiveUp("too large", reason="output_too_large")
        return None if rig.transactions.open else TransactionLost("gone")

    rig.sender.refuse = refuse
    await rig.consumer.fetch_once()
    running = asyncio.create_task(rig.bench.runner.run(rig.queue.get_nowait().value))
    while rig.bench.low != 5:
        await loop_turns()
        await rig.commit()
        rig.bench.ledger = rig.bench.runner.assignment.ledger(P0) or rig.bench.ledger
        if rig.bench.runner.dispatch.gate.is_open and not rig.bench.runner.in_progress and running.done():
            await rig.fetch_and_run()
    await running
    await rig.commit()
    assert sorted(rig.transactions.visible) == ["0-0", "0-1", "0-3", "0-4"]
    assert [letter.reason for letter in rig.sender.letters][-1:] == ["output_too_large"]


async def test_a_broker_that_is_away_after_a_loss_is_asked_again_at_the_next_commit(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    exact.transactions.refusals.append(TransactionLost("no answer"))
    exact.transactions.away = [StopWorker("no Kafka broker answers")] * 2
    for _ in range(3):
        await exact.commit()
    await exact.bench.runner.wait_idle(10)
    await exact.commit()
    assert sorted(exact.transactions.visible) == [f"0-{n}" for n in range(5)]


async def test_a_broker_that_refuses_this_worker_stops_it(exact: Exact) -> None:
    await exact.fetch_and_run()
    await exact.all_handled(5)
    exact.transactions.refusals.append(StopWorker("the broker refuses this worker"))
    assert not await exact.commit()
    assert [str(stop) for stop in exact.bench.stops] == ["the broker refuses this worker"]


def test_outputs_that_wait_for_a_commit_wait_a_fifth_of_a_second_at_most() -> None:
    bench = Bench(answer)
    exactly = ExactlyOnce(None, bench.runner.dispatch, Limits())  # type: ignore[arg-type]
    assert [exactly.interval_s(seconds) for seconds in (0.05, 0.5)] == [0.05, 0.2]


def test_what_may_have_been_paid_is_committed_within_a_tenth_of_a_second() -> None:
    assert [AtLeastOnce(Limits()).interval_s(seconds) for seconds in (0.05, 0.5)] == [0.05, 0.5]
    assert [AtLeastOnce(Limits(), calls=True).interval_s(seconds) for seconds in (0.05, 0.5)] == [0.05, 0.1]


async def test_lag_does_not_count_the_markers_of_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(tmp_path, Bench(answer))
    lags: list[int] = []
    monkeypatch.setattr(rig.bench.tally, "committed", lambda agent, topic, partition, offset, lag: lags.append(lag))
    monkeypatch.setattr(rig.thread, "highwater", lambda tp: 11)
    rig.thread.log[TP0] = records(range(10))
    for _ in range(2):
        await rig.fetch_and_run()
    await rig.bench.runner.wait_idle(10)
    await rig.consumer.commit()
    rig.thread.position[TP0] = 11  # the fetcher has seen that a marker is all there is
    await rig.consumer.commit()
    assert lags == [1, 0]


async def test_step_f_a_batch_that_was_being_fetched_meanwhile_is_read_again(exact: Exact) -> None:
    """Its offsets lie behind those that are to be read again."""
    await exact.fetch_and_run()
    await exact.all_handled(5)
    arrives, fetch = asyncio.Event(), exact.thread.getmany

    async def late(*arguments: Any, **options: Any) -> Any:
        batch = await fetch(*arguments, **options)
        await arrives.wait()
        return batch

    exact.thread.getmany = late  # type: ignore[method-assign]
    fetching = asyncio.create_task(exact.consumer.fetch_once())
    await loop_turns()
    exact.transactions.refusals.append(TransactionLost("no answer"))
    await exact.commit()
    arrives.set()
    await fetching
    assert exact.handed_over() == []
    while exact.thread.position[TP0] < 10:
        await exact.fetch_and_run()
    await exact.bench.runner.wait_idle(10)
    await exact.commit()
    assert sorted(exact.transactions.visible) == [f"0-{n}" for n in range(10)]
    assert exact.thread.stored == {TP0: Commit(10, "")}
