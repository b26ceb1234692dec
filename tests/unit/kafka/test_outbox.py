"""The outbox against a producer whose acknowledgements the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from schemas import Alert, DeadLetter, Message, Verdict
from streams.errors import GiveUp, StopWorker
from streams.kafka import outbox as module
from streams.kafka.outbox import Outbox, TransactionLost
from streams.kafka.plain_line import PlainLine
from tests.support.records import loop_turns, until, verdict


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_SHORTEST_PAUSE_S", 0.0)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.0)
    return


class FakeProducer:
    """Keeps what it is given; each send is answered by the next script entry, or acknowledged.

    An entry is an error of the acknowledgement, an error raised at once (in a tuple), or None for a future to be resolved later.
    """

    def __init__(self, *script: KafkaError | tuple[KafkaError] | None) -> None:
        self.script = list(script)
        self.sent: list[tuple[str, bytes, bytes]] = []
        self.held: list[asyncio.Future[None]] = []
        self.accepted: list[bytes] = []
        self.was_sent = asyncio.Event()

    async def send(self, topic: str, *, key: bytes, value: bytes) -> asyncio.Future[None]:
        self.sent.append((topic, key, value))
        self.was_sent.set()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.script:
            self.accepted.append(value)
            future.set_result(None)
            return future
        answer = self.script.pop(0)
        if isinstance(answer, tuple):
            raise answer[0]
        if answer is None:
            self.held.append(future)
        else:
            future.set_exception(answer)
        return future


def outbox(producer: Any, *, renew: Any = None, **options: Any) -> Outbox:
    return Outbox(line(producer, renew), "p.", **options)


def line(producer: Any, renew: Any = None) -> PlainLine:
    """A line that renews a producer in one step: ``renew`` is given the broken one and returns another one."""

    async def stop(_: Any) -> None:
        return

    return PlainLine(producer, renew and (lambda: renew(producer)), stop)


def letter(size: int, **changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "letter_id": "l", "topic": "tickets", "partition": 0, "offset": 1, "original": b"x" * size, "original_size": size,
        "agent": "a", "reason": "r", "error_class": "E",
    }  # fmt: skip
    return DeadLetter(**fields | changes)


async def test_every_message_goes_to_its_topic_under_its_key() -> None:
    producer = FakeProducer()
    messages: list[Message] = [verdict("a"), letter(3)]
    await outbox(producer).send(messages)
    assert producer.sent == [
        ("p.verdicts", b"a", messages[0].encode()),
        ("p.dead-letters", b"tickets/0/1", messages[1].encode()),
    ]


async def test_returns_only_when_all_is_acknowledged() -> None:
    producer = FakeProducer(None, None)
    sending = asyncio.create_task(outbox(producer).send([verdict("a"), verdict("b")]))
    await producer.was_sent.wait()
    await loop_turns()
    assert len(producer.sent) == 2
    producer.held[1].set_result(None)
    await loop_turns()
    assert not sending.done()
    producer.held[0].set_result(None)
    await sending


async def test_only_what_failed_is_sent_again() -> None:
    producer = FakeProducer(None, KafkaTimeoutError(), (KafkaConnectionError("away"),))
    retried: list[str] = []
    sending = asyncio.create_task(outbox(producer, retried=retried.append).send([verdict(i) for i in "abc"]))
    await until(lambda: bool(producer.held), producer.was_sent.wait)
    producer.held[0].set_result(None)
    await sending
    assert [key for _, key, _ in producer.sent] == [b"a", b"b", b"c", b"b", b"c"]
    assert len(retried) == 1


@pytest.mark.parametrize("error", [KafkaTimeoutError(), KafkaConnectionError("away"), ProducerClosed(), KafkaError()])
async def test_a_broker_that_is_away_is_waited_for(error: KafkaError) -> None:
    producer = FakeProducer(*[error] * 20)
    retried: list[str] = []
    await outbox(producer, retried=retried.append).send([verdict("a")])
    assert producer.accepted == [verdict("a").encode()]
    assert retried == [type(error).__name__] * 20


@pytest.mark.parametrize("at_once", [True, False])
async def test_an_output_that_is_too_large_is_given_up(at_once: bool) -> None:
    error = MessageSizeTooLargeError("1000001 bytes")
    producer = FakeProducer((error,) if at_once else error)
    with pytest.raises(GiveUp, match=r"on p\.verdicts") as caught:
        await outbox(producer).send([verdict("a")])
    assert caught.value.reason == "output_too_large"
    assert len(producer.sent) == 1


async def test_apart_means_while_nothing_else_is_sent() -> None:
    """Or its batch could be refused for the sake of another message."""
    producer = FakeProducer(None, None, None)
    box = outbox(producer)
    before = asyncio.create_task(box.send([verdict("before")]))
    await until(lambda: len(producer.held) == 1, producer.was_sent.wait)
    apart = asyncio.create_task(box.send_apart([verdict("apart"), verdict("too")]))
    await loop_turns()
    after = asyncio.create_task(box.send([verdict("after")]))
    await loop_turns()
    for sent in range(1, 4):
        assert len(producer.sent) == sent, "one at a time"
        producer.held[sent - 1].set_result(None)
        await loop_turns()
    await asyncio.gather(before, apart, after)
    assert [Verdict.decode(value).ticket_id for _, _, value in producer.sent] == ["before", "apart", "too", "after"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TopicAuthorizationFailedError("routed"), "rights on topic routed"),
        (TransactionalIdAuthorizationFailed(), "rights on transactional id"),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_broker_that_refuses_this_worker_stops_it(error: KafkaError, words: str, at_once: bool) -> None:
    with pytest.raises(StopWorker, match=words):
        await outbox(FakeProducer((error,) if at_once else error)).send([verdict("a")])


async def test_all_acknowledgements_are_awaited_before_anything_is_raised() -> None:
    """The caller sends again what it does not know to be acknowledged: the fewer, the better."""
    producer = FakeProducer(MessageSizeTooLargeError(), None)
    sending = asyncio.create_task(outbox(producer).send([verdict("a"), verdict("b")]))
    await until(lambda: bool(producer.held), producer.was_sent.wait)
    await loop_turns()
    assert not sending.done()
    producer.held[0].set_result(None)
    with pytest.raises(GiveUp):
        await sending


@pytest.mark.parametrize(
    "output",
    [Alert(alert_id="a", source="s", kind="k", at_ms=1, summary="lone \ud800"), "a string", None],
    ids=["lone surrogate", "no message", "none"],
)
async def test_an_output_that_cannot_be_encoded_is_given_up_before_anything_is_sent(output: Any) -> None:
    producer = FakeProducer()
    with pytest.raises(GiveUp) as caught:
        await outbox(producer).send([verdict("a"), output])
    assert caught.value.reason == "output_not_encodable"
    assert not producer.sent


class TestRenewing:
    """A refused batch leaves a gap in an idempotent producer's numbering, and nothing behind the gap is ever taken."""

    async def test_a_producer_with_a_gap_is_replaced_once(self) -> None:
        broken, fresh = FakeProducer(*[OutOfOrderSequenceNumber()] * 50), FakeProducer()
        renewed: list[Any] = []

        async def renew(producer: Any) -> Any:
            renewed.append(producer)
            await asyncio.sleep(0)
            return fresh

        box = outbox(broken, renew=renew)
        await asyncio.gather(*(box.send([verdict(str(i))]) for i in range(5)))
        assert renewed == [broken]
        assert len(fresh.accepted) == 5

    async def test_also_where_the_message_is_given_up(self) -> None:
        broken, fresh = FakeProducer(MessageSizeTooLargeError()), FakeProducer()

        async def renew(producer: Any) -> Any:
            return fresh

        box = outbox(broken, renew=renew)
        with pytest.raises(GiveUp):
            await box.send([verdict("a")])
        await box.send([verdict("b")])
        assert fresh.accepted == [verdict("b").encode()]

    @pytest.mark.parametrize("harmless", [KafkaTimeoutError(), KafkaConnectionError("away"), ProducerClosed()])
    async def test_not_where_no_batch_was_refused(self, harmless: KafkaError) -> None:
        producer = FakeProducer(harmless, (harmless,))

        async def renew(producer: Any) -> Any:
            raise AssertionError("nothing is broken")

        await outbox(producer, renew=renew).send([verdict("a")])
        assert len(producer.sent) == 3

    async def test_a_broker_that_is_away_while_renewing_is_asked_again(self) -> None:
        broken, fresh = FakeProducer(*[OutOfOrderSequenceNumber()] * 50), FakeProducer()
        tries = 0

        async def renew(producer: Any) -> Any:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise StopWorker("no Kafka broker answers")
            return fresh

        await outbox(broken, renew=renew).send([verdict("a")])
        assert tries == 3
        assert fresh.accepted == [verdict("a").encode()]


class TestInATransaction:
    """What a transaction has taken is committed with it, or not at all; so nothing is sent a second time in the same one."""

    class Line:
        """A line of one producer, whose transaction is lost once it is broken."""

        final = False

        def __init__(self, producer: FakeProducer) -> None:
            self.open: Any = producer

        def producer(self, before: Any = None) -> Any:
            if self.open is None or before not in (None, self.open):
                raise TransactionLost
            return self.open

        async def broken(self, producer: Any) -> None:
            self.open = None

    @pytest.mark.parametrize("error", [KafkaTimeoutError(), KafkaConnectionError("away"), OutOfOrderSequenceNumber()])
    async def test_any_failure_loses_the_transaction(self, error: KafkaError) -> None:
        producer = FakeProducer(error)
        line = self.Line(producer)
        with pytest.raises(TransactionLost):
            await Outbox(line, "p.").send([verdict("a")])
        assert len(producer.sent) == 1
        assert line.open is None

    async def test_a_refusal_for_its_size_is_told_before_the_loss(self) -> None:
        """So that the letter, and not the same output again, goes out in the next transaction."""
        box = Outbox(self.Line(FakeProducer(MessageSizeTooLargeError())), "p.")
        with pytest.raises(GiveUp):
            await box.send([verdict("a")])
        with pytest.raises(TransactionLost):
            await box.send([letter(3)])

    @pytest.mark.parametrize("apart", [False, True])
    async def test_who_waits_for_another_does_not_slip_into_the_next_transaction(self, apart: bool) -> None:
        """It may be one of an assignment without the partition that the message came from."""
        producer = FakeProducer(None)
        line = self.Line(producer)
        box = Outbox(line, "p.")
        first = asyncio.create_task(box.send([verdict("a")]) if apart else box.send_apart([verdict("a")]))
        await producer.was_sent.wait()
        second = asyncio.create_task(box.send_apart([verdict("b")]) if apart else box.send([verdict("b")]))
        await loop_turns()
        await line.broken(producer)
        line.open = following = FakeProducer()
        producer.held[0].set_result(None)
        for sending in (first, second):
            with pytest.raises(TransactionLost):
                await sending
        assert not following.sent

    async def test_what_is_acknowledged_after_the_transaction_was_lost_is_lost(self) -> None:
        producer = FakeProducer(None)
        line = self.Line(producer)
        sending = asyncio.create_task(Outbox(line, "p.").send([verdict("a")]))
        await producer.was_sent.wait()
        await line.broken(producer)
        line.open = FakeProducer()  # the next one has begun
        producer.held[0].set_result(None)
        with pytest.raises(TransactionLost):
            await sending
