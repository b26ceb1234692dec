"""The score stage alone, read + decide + send, against the obvious hand-written aiokafka loop, in the same run.

``python -m benchmarks.stage [--messages N] [--rounds R] [--broker kafka|embedded] [--report FILE]``. Both read the same
topic with a group of their own, parse the same models, take the same decision, send to the same topics with acks=all and
commit what is acknowledged. Rounds alternate, and the ratio is that of the medians. Reported per second of wall clock and
per second of CPU (all threads), each from the first message handled to the last.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import secrets
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from benchmarks.unguarded import score_handler
from schemas import TOPICS, Attempt, Call, Classification, Message, Scored, Ticket, topic_of
from streams.agents.score import ScoreHandler
from streams.core.policy.policy import Policy
from streams.delivery.observer import Observer
from streams.delivery.service import StageService
from streams.delivery.stage import Stage
from streams.demo.run import local_connection
from streams.kafka.connection import Connection
from streams.kafka.producers import MAX_BATCH_BYTES, start_producer
from streams.kafka.topics import create_topics
from streams.observability.logs import configure_logging
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.worker.process import tune_interpreter

LABELS = ("refund", "billing", "shipping", "account", "technical", "cancellation")


def classification(number: int) -> Classification:
    """Return a message as the classify agent sends it; every fourth one is to be escalated."""
    best = 0.9 if number % 4 else 0.4
    rest = (1 - best) / 5
    probs = {label: best if place == number % 6 else rest for place, label in enumerate(LABELS)}
    label = LABELS[number % 6]
    signal = Scored(
        label=label, confidence=best, entropy=0.5 if number % 4 else 1.6, token_confidence=best, token_entropy=0.6,
        top_k_mass=0.99, k=20, label_probs=probs, out_of_label=0.01, margin=best - rest, min_logprob=-0.1, mean_logprob=-0.1,
    )  # fmt: skip
    call = Call(
        tier="cheap",
        model_asked="sandbox-cheap",
        model_returned="sandbox-cheap-2026-08-01",
        prompt_hash="0" * 12,
        answer=label,
        signal=signal,
        attempts=(
            Attempt(outcome="ok", at_ms=1, latency_ms=8.0, prompt_tokens=80, completion_tokens=2, cost_usd=1e-5),
        ),
    )
    text = f"ticket {number}: I ordered two weeks ago and nothing has come yet, could you look into it please?"
    return Classification(ticket=Ticket(ticket_id=f"t-{number}", text=text), call=call)


class Clock:
    """Wall and CPU time between the first and the last of ``total`` messages."""

    def __init__(self, total: int) -> None:
        self._left = total
        self._began: tuple[float, float] | None = None
        self.done = asyncio.Event()
        self.wall = self.cpu = 0.0

    def begin(self) -> None:
        """Note the first message."""
        if self._began is None:
            self._began = (time.perf_counter(), time.process_time())

    def count(self, messages: int) -> None:
        """Note messages whose outputs are acknowledged."""
        self._left -= messages
        if self._left <= 0 and self._began is not None and not self.done.is_set():
            self.wall = time.perf_counter() - self._began[0]
            self.cpu = time.process_time() - self._began[1]
            self.done.set()


class _Timer(Observer):
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        del agent, outputs, seconds
        self._clock.count(1)


async def ours(connection: Connection, prefix: str, total: int, handler: ScoreHandler | None = None) -> Clock:
    """Run the stage as a worker does, with an interpreter that is tuned like a worker's; without guards unless a handler has some."""
    clock = Clock(total)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    tune_interpreter()
    handler = handler or score_handler(Policy(), len(LABELS))

    def timed(message: Classification) -> Sequence[Message]:
        clock.begin()
        return handler(message)

    agent = f"score-{secrets.token_hex(4)}"
    stage = Stage(agent=agent, topic=TOPICS["classifications"], handler=timed)
    service = StageService(stage, connection, prefix=prefix, failed=print, observer=_Timer(clock))
    await service.start()
    await clock.done.wait()
    await service.stop()
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)
    return clock


async def by_hand(connection: Connection, prefix: str, total: int) -> Clock:
    """Run what one would write with aiokafka alone."""
    clock = Clock(total)
    handler = score_handler(Policy(), len(LABELS))
    consumer = AIOKafkaConsumer(
        prefix + "classifications",
        bootstrap_servers=connection.bootstrap,
        group_id=f"hand-{secrets.token_hex(4)}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(connection.session_timeout_s * 1000),
        heartbeat_interval_ms=int(connection.heartbeat_s * 1000),
        rebalance_timeout_ms=int(connection.rebalance_timeout_s * 1000),
    )
    producer = await start_producer(connection)
    await consumer.start()
    while not clock.done.is_set():
        batches = await consumer.getmany(timeout_ms=500, max_records=5000)
        if not batches:
            continue
        clock.begin()
        sent = []
        for records in batches.values():
            for record in records:
                for output in handler(Classification.decode(record.value)):
                    topic = topic_of(output)
                    sent.append(await producer.send(prefix + topic.name, output.encode(), topic.key_of(output)))
        await asyncio.gather(*sent)
        await consumer.commit()
        clock.count(sum(len(records) for records in batches.values()))
    await consumer.stop()
    await producer.stop()
    return clock


async def fill(connection: Connection, prefix: str, total: int) -> None:
    """Put the messages on the topic."""
    producer = AIOKafkaProducer(bootstrap_servers=connection.bootstrap, max_batch_size=MAX_BATCH_BYTES)
    await producer.start()
    topic = TOPICS["classifications"]
    for start in range(0, total, 5000):
        messages = [classification(number) for number in range(start, min(total, start + 5000))]
        await asyncio.gather(
            *[await producer.send(prefix + topic.name, message.encode(), topic.key_of(message)) for message in messages]
        )
    await producer.stop()


async def measure(broker: str, total: int, rounds: int) -> dict[str, object]:
    """Run the rounds and return the figures."""
    async with LocalKafka() if broker == "kafka" else EmbeddedBroker() as server:
        connection = local_connection(server)
        prefix = "stage."
        await create_topics(connection, prefix=prefix, partitions=4, replication=1)
        await fill(connection, prefix, total)
        walls: dict[str, list[float]] = {"ours": [], "hand": []}
        cpus: dict[str, list[float]] = {"ours": [], "hand": []}
        for number in range(rounds):
            for name, run in (("ours", ours), ("hand", by_hand)) if number % 2 else (("hand", by_hand), ("ours", ours)):
                clock = await run(connection, prefix, total)
                walls[name].append(total / clock.wall)
                cpus[name].append(total / clock.cpu)
                print(
                    f"round {number + 1} {name:<5} {total / clock.wall:8.0f}/s {total / clock.cpu:8.0f}/CPU-s",
                    flush=True,
                )
    wall = {name: statistics.median(values) for name, values in walls.items()}
    cpu = {name: statistics.median(values) for name, values in cpus.items()}
    return {
        "broker": broker,
        "messages": total,
        "rounds": rounds,
        "ours_per_second": wall["ours"],
        "hand_per_second": wall["hand"],
        "ours_per_cpu_second": cpu["ours"],
        "hand_per_cpu_second": cpu["hand"],
        "ratio": wall["ours"] / wall["hand"],
        "ratio_cpu": cpu["ours"] / cpu["hand"],
    }


def main() -> None:
    """Measure, print, and write the report if one is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--broker", choices=("kafka", "embedded"), default="kafka")
    parser.add_argument("--report", type=Path)
    options = parser.parse_args()
    configure_logging(level="error")
    figures = uvloop.run(measure(options.broker, options.messages, options.rounds))
    print(json.dumps(figures, indent=1))
    print(f"ratio to hand-written: {figures['ratio']:.2f} (per CPU-second {figures['ratio_cpu']:.2f})")
    if options.report:
        options.report.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
