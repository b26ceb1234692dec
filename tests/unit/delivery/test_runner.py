"""The runner's steps 2 to 9, one by one; 1 and 10 are the driver's (test_faust_transport.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import stamina

from schemas import DeadLetter, Message, Ticket, Verdict
from streams.delivery.dead_letters import CUT_TO
from streams.delivery.ledger import Commit, Ledger, decode_finished
from streams.delivery.runner import Workload
from streams.errors import GiveUp, StopWorker, TryAgain
from streams.kafka.outbox import Refused
from tests.support.records import P0, Bench, FakeRecord, Held, answer, compute, loop_turns, record, records, verdict


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    stamina.set_testing(True)
    yield
    stamina.set_testing(False)


async def test_step_2_take_leaves_out_what_is_finished_or_in_progress() -> None:
    held = Held()
    bench = Bench(held)
    bench.assign(Ledger(0, {1}))
    await bench.feed(records(range(3)))
    await held.wait_begun(2)
    await bench.feed(records(range(4)))  # read again after a rewind
    await held.wait_begun(3)
    held.release_all()
    await bench.runner.wait_idle(10)
    assert held.begun == {"0-0": 1, "0-2": 1, "0-3": 1}
    assert bench.tally.counts["finished_before"] == 1 + 3
    assert bench.ledger.commit() == Commit(4, "")


def test_step_2_take_knows_no_partition_of_another() -> None:
    bench = Bench(answer, assigned=False)
    assert bench.runner.accept(P0, records(range(3))) == ()


@pytest.mark.parametrize("handler", [answer, compute])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"nonsense", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b'{"ticket_id": "1"}', "wrong_schema"),
        (b'{"ticket_id": "1", "text": "\\ud800"}', "not_json"),
        (b'{"v": 99, "ticket_id": "1", "text": "a"}', "unknown_schema_version"),
        (None, "empty_message"),
    ],
)
async def test_step_3_decode_makes_a_dead_letter_of_bytes_that_are_no_message(
    handler: object, value: bytes | None, reason: str
) -> None:
    bench = Bench(handler)  # type: ignore[arg-type]
    await bench.run([FakeRecord(7, value, b"k"), record(8)])
    (letter,) = bench.sender.letters
    assert (letter.original, letter.key, letter.reason) == (value or b"", b"k", reason)
    assert letter.origin == "tickets/0/7"
    assert (letter.agent, letter.at_ms, letter.attempts) == ("test", 1234, 1)
    assert bench.sender.ticket_ids == ["0-8"]
    assert bench.ledger.commit() == Commit(9, "")
    assert bench.tally.counts[f"letter {reason}"] == 1


@pytest.mark.parametrize("handler", [answer, compute])
async def test_step_4_recall_finishes_a_known_id_without_a_second_call(handler: object) -> None:
    bench = Bench(handler)  # type: ignore[arg-type]
    await bench.run([record(0, "a")])
    await bench.run([record(1, "a"), record(2, "b")])
    assert bench.sender.ticket_ids == ["a", "b"]
    assert bench.tally.counts["known_id"] == 1
    assert bench.low == 3


@pytest.mark.parametrize("computes", [False, True])
async def test_step_4_recall_forgets_an_id_that_ended_as_a_dead_letter(computes: bool) -> None:
    """Found by fuzzing: what an operator sent again from the dead letters was finished without a call."""
    bad = {"a"}

    def once_bad(ticket: Ticket) -> Sequence[Message]:
        if ticket.ticket_id in bad:
            raise GiveUp("no", reason="bad")
        return [verdict(ticket.ticket_id)]

    async def called(ticket: Ticket) -> Sequence[Message]:
        return once_bad(ticket)

    bench = Bench(once_bad if computes else called)
    await bench.run([record(0, "a"), record(1, "b")])
    bad.clear()
    await bench.run([record(2, "a"), record(3, "b")])
    assert [letter.reason for letter in bench.sender.letters] == ["bad"]
    assert bench.sender.ticket_ids == ["b", "a"]
    assert bench.tally.counts["known_id"] == 1
    assert bench.low == 4


async def test_step_4_recall_lets_one_call_answer_an_id_that_is_in_flight_twice() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed([record(0, "a"), record(1, "a"), record(2, "a")])
    await held.wait_begun(1)
    await loop_turns()
    assert bench.runner.in_progress == 3
    held.release("a")
    await bench.runner.wait_idle(10)
    assert held.begun == {"a": 1}
    assert bench.sender.ticket_ids == ["a"]
    assert bench.low == 3


async def test_step_4_recall_within_one_chunk() -> None:
    bench = Bench(compute)
    await bench.run([record(0, "a"), record(1, "a")])
    assert bench.sender.ticket_ids == ["a"]
    assert bench.low == 2


@pytest.mark.parametrize("handler", [answer, compute])
async def test_step_4_recall_is_off_where_a_key_may_come_again(handler: object) -> None:
    bench = Bench(handler, once=False)  # type: ignore[arg-type]
    await bench.run([record(0, "a"), record(1, "a")])
    await bench.run([record(2, "a")])
    assert bench.sender.ticket_ids == ["a", "a", "a"]
    assert bench.low == 3


async def test_step_5_handle_gives_its_place_away_while_it_waits_for_the_broker() -> None:
    bench = Bench(answer, in_flight=2)
    bench.sender.acknowledge.clear()
    await bench.feed(records(range(10)))
    await loop_turns()
    assert bench.runner.in_progress == len(bench.sender.calls) == 4, (
        "as many again, and no more: the broker may be away"
    )
    bench.sender.acknowledge.set()
    await bench.runner.wait_idle(10)
    assert bench.low == 10


async def test_step_5_handle_stays_within_the_in_flight_limit() -> None:
    held = Held()
    bench = Bench(held, in_flight=4)
    await bench.feed(records(range(10)))
    await held.wait_begun(4)
    await loop_turns()
    assert held.begun.total() == 4
    assert not bench.runner.has_room
    held.release("0-0")
    await held.wait_begun(5)
    assert bench.runner.in_progress == 4
    held.release_all()
    await bench.runner.wait_idle(10)
    assert bench.tally.most_in_flight == 4
    assert sorted(bench.sender.ticket_ids) == sorted(f"0-{i}" for i in range(10))
    assert bench.runner.has_room


async def test_step_5_handle_obeys_its_deadline() -> None:
    async def hang(ticket: Ticket) -> Sequence[Message]:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    bench = Bench(hang, deadline_s=0.01, attempts=2)
    await bench.run([record(0)])
    (letter,) = bench.sender.letters
    assert (letter.reason, letter.attempts, letter.error_class) == ("retries_exhausted", 2, "TryAgain")
    assert "deadline of 0.01 s" in letter.detail
    assert bench.tally.counts["retried TryAgain"] == 2
    assert bench.low == 1


async def test_step_6_judge_tries_again_and_then_gives_up() -> None:
    calls = 0

    async def refuse(ticket: Ticket) -> Sequence[Message]:
        nonlocal calls
        calls += 1
        raise TryAgain("429")

    bench = Bench(refuse, attempts=3)
    await bench.run([record(0)])
    (letter,) = bench.sender.letters
    assert calls == letter.attempts == 3
    assert (letter.reason, letter.detail) == ("retries_exhausted", "429")
    assert bench.low == 1


async def test_step_6_judge_tries_again_and_succeeds() -> None:
    calls = 0

    async def second_time(ticket: Ticket) -> Sequence[Message]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise TryAgain("503")
        return [verdict(ticket.ticket_id)]

    bench = Bench(second_time)
    await bench.run([record(0)])
    assert bench.sender.ticket_ids == ["0-0"]
    assert not bench.sender.letters


@pytest.mark.parametrize("call_out", [True, False])
async def test_step_6_judge_gives_up_with_the_original_bytes(call_out: bool) -> None:
    def refuse(ticket: Ticket) -> Sequence[Message]:
        raise GiveUp("the text is in no language", reason="no_language")

    async def refuse_later(ticket: Ticket) -> Sequence[Message]:
        return refuse(ticket)

    bench = Bench(refuse_later if call_out else refuse)
    original = record(5)
    await bench.run([original])
    (letter,) = bench.sender.letters
    assert (letter.original, letter.key) == (original.value, original.key)
    assert (letter.reason, letter.error_class, letter.attempts) == ("no_language", "GiveUp", 1)
    assert bench.low == 6


@pytest.mark.parametrize("call_out", [True, False])
async def test_step_6_judge_stops_the_worker_once_and_leaves_the_offset_unfinished(call_out: bool) -> None:
    begun: list[str] = []

    def refuse(ticket: Ticket) -> Sequence[Message]:
        begun.append(ticket.ticket_id)
        raise StopWorker("the policy is for another model")

    async def refuse_later(ticket: Ticket) -> Sequence[Message]:
        return refuse(ticket)

    bench = Bench(refuse_later if call_out else refuse, in_flight=2)
    await bench.run(records(range(600)))
    await bench.run(records(range(600, 610)))
    assert [str(stop) for stop in bench.stops] == ["the policy is for another model"]
    assert bench.low == 0
    assert not bench.sender.calls
    assert begun == (["0-0", "0-1"] if call_out else ["0-0"])  # nothing begins after it
    assert not bench.runner.has_room


@pytest.mark.parametrize("call_out", [True, False])
@pytest.mark.parametrize("defect", ["raises", "returns None", "times out itself", "cancels itself"])
async def test_step_6_judge_takes_a_defect_for_giving_up(call_out: bool, defect: str) -> None:
    def fail(ticket: Ticket) -> Sequence[Message]:
        if ticket.ticket_id != "0-1":
            return [verdict(ticket.ticket_id)]
        if defect == "raises":
            raise ZeroDivisionError("x / 0")
        if defect == "times out itself":
            raise TimeoutError("a socket")
        if defect == "cancels itself" and call_out:
            raise asyncio.CancelledError
        return None  # type: ignore[return-value]

    async def fail_later(ticket: Ticket) -> Sequence[Message]:
        return fail(ticket)

    bench = Bench(fail_later if call_out else fail)
    await bench.run(records(range(3)))
    (letter,) = bench.sender.letters
    assert (letter.reason, letter.attempts, letter.origin) == ("handler_defect", 1, "tickets/0/1")
    assert sorted(bench.sender.ticket_ids) == ["0-0", "0-2"]
    assert bench.low == 3
    assert not bench.stops


async def test_step_7_own_drops_the_outputs_of_a_lost_partition() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed([record(0)])
    await held.wait_begun(1)
    bench.revoke()
    bench.begin({})
    held.release_all()
    await bench.runner.wait_idle(10)
    assert bench.runner.in_progress == 0
    assert not bench.sender.calls
    assert bench.tally.counts["not_ours"] == 1


async def test_step_7_own_an_id_that_was_dropped_is_not_remembered() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed([record(0, "a")])
    await held.wait_begun(1)
    bench.revoke()
    bench.begin({})
    held.release_all()
    await bench.runner.wait_idle(10)
    bench.assign(Ledger(0))
    await bench.run([record(0, "a")])
    assert held.begun == {"a": 2}
    assert bench.sender.ticket_ids == ["a"]


async def test_step_8_send_waits_for_every_acknowledgement() -> None:
    bench = Bench(answer)
    bench.sender.acknowledge.clear()
    await bench.feed([record(0)])
    await bench.sender.called.wait()
    await loop_turns()
    assert bench.low == 0
    assert bench.runner.in_progress == 1
    bench.sender.acknowledge.set()
    await bench.runner.wait_idle(10)
    assert bench.low == 1


async def test_step_8_send_of_an_output_that_is_too_large_becomes_a_dead_letter() -> None:
    bench = Bench(answer)
    bench.sender.refuse = lambda m: GiveUp("too large", reason="output_too_large") if isinstance(m, Verdict) else None
    await bench.run([record(0)])
    (letter,) = bench.sender.letters
    assert (letter.reason, letter.original) == ("output_too_large", record(0).value)
    assert bench.low == 1
    assert bench.tally.counts["letter output_too_large"] == 1
    assert bench.tally.counts["handled"] == bench.tally.counts["outputs"] == 1


async def test_step_8_send_gives_an_output_that_was_refused_for_its_company_another_chance() -> None:
    """Two tasks' outputs may share a batch, and the broker refuses it for the size of one."""
    bench = Bench(answer)
    bench.sender.refusals.append(GiveUp("too large", reason="output_too_large"))
    await bench.run([record(0)])
    assert bench.sender.ticket_ids == ["0-0"]
    assert (len(bench.sender.calls), bench.sender.calls_apart) == (2, 1)
    assert not bench.sender.letters


async def test_step_8_send_repeats_nothing_that_a_refusal_does_not_name() -> None:
    bench = Bench(compute)
    bench.sender.refuse = lambda m: Refused("too large", [m], "output_too_large") if m == verdict("0-3") else None
    await bench.run(records(range(6)))
    assert [len(call) for call in bench.sender.calls] == [6, 1, 1], "all, the one that is named, and its letter"
    assert bench.low == 6


async def test_step_8_send_finds_the_one_output_of_a_chunk_that_is_too_large() -> None:
    bench = Bench(compute)
    too_large = verdict("0-3")
    bench.sender.refuse = lambda m: GiveUp("too large", reason="output_too_large") if m == too_large else None
    await bench.run(records(range(6)))
    (letter,) = bench.sender.letters
    assert letter.origin == "tickets/0/3"
    assert set(bench.sender.ticket_ids) == {f"0-{i}" for i in (0, 1, 2, 4, 5)}
    assert bench.low == 6
    assert bench.tally.counts["letter output_too_large"] == 1


async def test_step_8_send_stops_the_worker_where_even_the_letter_is_refused() -> None:
    bench = Bench(answer)
    bench.sender.refuse = lambda _: GiveUp("too large", reason="output_too_large")
    await bench.run([record(0)])
    assert "dead-letters takes no letter" in str(bench.stops[0])
    assert bench.low == 0


async def test_step_8_send_cuts_a_letter_that_is_too_large() -> None:
    bench = Bench(answer)
    original = b"no message" + b" " * (2 * CUT_TO)

    def refuse(message: Message) -> Exception | None:
        too_large = isinstance(message, DeadLetter) and len(message.original) > CUT_TO
        return GiveUp("too large", reason="output_too_large") if too_large else None

    bench.sender.refuse = refuse
    await bench.run([FakeRecord(0, original)])
    (letter,) = bench.sender.letters
    assert (letter.original, letter.original_size) == (original[:CUT_TO], len(original))
    assert bench.low == 1


@pytest.mark.parametrize("handler", [answer, compute])
@pytest.mark.parametrize("error", [RuntimeError("defect"), StopWorker("not authorised")])
async def test_step_8_send_that_fails_for_good_stops_the_worker(handler: object, error: Exception) -> None:
    bench = Bench(handler)  # type: ignore[arg-type]
    bench.sender.refuse = lambda _: error
    await bench.run(records(range(3)))
    assert len(bench.stops) == 1
    assert str(error) in str(bench.stops[0])
    assert bench.low == 0


async def test_step_8_send_that_is_cancelled_from_elsewhere_stops_the_worker() -> None:
    """Otherwise the offset would stay open without a task, and hold low for good."""
    bench = Bench(answer)
    cancelled = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    async def send(messages: Sequence[Message]) -> None:
        await cancelled

    bench.sender.send = send  # type: ignore[method-assign]
    await bench.run([record(0)])
    assert len(bench.stops) == 1


async def test_step_9_finish_marks_each_offset_when_its_outputs_are_with_the_broker() -> None:
    held = Held()
    bench = Bench(held)
    await bench.feed(records(range(5)))
    await held.wait_begun(5)
    held.release("0-1", "0-3")
    while bench.runner.in_progress > 3:
        await bench.runner.next_change()
    commit = bench.ledger.commit()
    assert commit is not None
    assert commit.offset == 0
    assert decode_finished(0, commit.metadata) == {1, 3}
    held.release_all()
    await bench.runner.wait_idle(10)
    assert bench.ledger.commit() == Commit(5, "")


async def test_step_9_finish_needs_no_output() -> None:
    async def silent(ticket: Ticket) -> Sequence[Message]:
        return []

    bench = Bench(silent)
    await bench.run(records(range(3)))
    assert bench.low == 3
    assert not bench.sender.calls
    assert bench.tally.counts["handled"] == 3


async def test_a_stage_that_only_computes_sends_whole_chunks() -> None:
    bench = Bench(compute)
    await bench.run(records(range(2500)))
    assert [len(call) for call in bench.sender.calls] == [1024, 1024, 452]
    assert bench.sender.ticket_ids == [f"0-{i}" for i in range(2500)]
    assert bench.low == 2500


async def test_a_chunk_with_one_dead_letter_keeps_its_order() -> None:
    bench = Bench(compute)
    await bench.run([record(0), FakeRecord(1, b"?"), record(2)])
    assert [isinstance(message, DeadLetter) for message in bench.sender.sent] == [False, True, False]
    assert bench.low == 3


@pytest.mark.parametrize("handler", [answer, compute])
async def test_a_held_intake_reads_nothing_more_and_loses_nothing(handler: object) -> None:
    bench = Bench(handler)  # type: ignore[arg-type]
    bench.runner.intake.hold()
    assert not bench.runner.has_room
    await bench.run(records(range(3)))  # these were taken before
    assert bench.low == 3
    waiting = asyncio.create_task(bench.runner.next_change())
    await loop_turns()
    bench.runner.intake.release()
    async with asyncio.timeout(30):
        await waiting
    assert bench.runner.has_room


async def test_an_intake_that_was_held_when_the_worker_failed_stays_shut() -> None:
    bench = Bench(answer)
    bench.runner.intake.hold()
    bench.runner.fail(StopWorker("no"))
    bench.runner.intake.release()
    await bench.feed(records(range(3)))
    await loop_turns()
    assert not bench.runner.has_room
    assert not bench.sender.calls
    assert [str(stop) for stop in bench.stops] == ["no"]


async def test_the_workload_says_what_is_in_hand() -> None:
    held = Held()
    bench = Bench(held)
    assert bench.runner.workload() == Workload({P0: None}, 0, sending=False)
    await bench.feed(records(range(3)))
    await held.wait_begun(3)
    assert bench.runner.workload() == Workload({P0: 3}, 3, sending=False)
    bench.sender.acknowledge.clear()
    held.release("0-1")
    await bench.sender.called.wait()
    assert bench.runner.workload() == Workload({P0: 3}, 3, sending=True)
    bench.sender.acknowledge.set()
    held.release_all()
    await bench.runner.wait_idle(10)
    assert bench.runner.workload() == Workload({P0: 3}, 0, sending=False)
    bench.revoke()
    assert bench.runner.workload() == Workload({}, 0, sending=False)
