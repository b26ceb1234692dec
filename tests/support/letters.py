"""Dead letters on a broker of a test, and what the commands about them leave on the topics."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from aiokafka import AIOKafkaProducer, ConsumerRecord
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas import DeadLetter
from schemas.headers import LETTER_HEADER
from streams.delivery.dead_letters import dead_letter, shortened
from streams.delivery.stage import Delivery
from streams.demo.run import local_connection
from streams.errors import GiveUp
from streams.kafka.keeping import topic_settings
from streams.kafka.readers import reader, to_the_end
from streams.kafka.topics import admin_client, create_topics
from streams.sandbox.brokers.broker import Broker
from tests.support.brokers import run_apart
from tests.support.records import FakeRecord

Result = TypeVar("Result")


@dataclass
class LetterBox:
    """Topics of a test with dead letters on them, and the settings file of their deployment."""

    broker: Broker
    folder: Path
    delivery: Delivery = "at_least_once"
    prefix: str = field(default_factory=lambda: f"letters-{secrets.token_hex(4)}.")

    def __post_init__(self) -> None:
        self.connection = local_connection(self.broker)
        self.config = self.folder / "hedgerow.yaml"
        tier = {"base_url": "http://127.0.0.1:1/v1", "model": "gpt-4o-mini"}
        settings = {
            "broker": {"bootstrap": self.broker.bootstrap},
            "topics": {"prefix": self.prefix},
            "labels": ["refund", "shipping"],
            "tiers": {"cheap": tier, "big": tier},
            "review": {"url": f"sqlite:///{self.folder / 'reviews.db'}"},
            "delivery": self.delivery,
        }
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.run(create_topics(self.connection, prefix=self.prefix, partitions=2, replication=1))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in a loop of its own: the tests run commands, which have theirs."""
        return run_apart(work)

    def put(
        self,
        value: bytes | None,
        key: bytes | None = b"t-1",
        *,
        reason: str = "not_json",
        topic: str = "tickets",
        at_ms: int = 1_700_000_000_000,
        cut: bool = False,
        kept: bool = True,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> str:
        """Send a message and its dead letter; return the letter's origin without the prefix.

        ``cut`` makes the letter one that the broker did not take whole; the message is not on its topic unless ``kept``.
        """
        return self.run(self._put(value, key, reason, topic, at_ms, cut=cut, kept=kept, headers=headers))

    async def _put(
        self,
        value: bytes | None,
        key: bytes | None,
        reason: str,
        topic: str,
        at_ms: int,
        *,
        cut: bool,
        kept: bool,
        headers: Sequence[tuple[str, bytes]],
    ) -> str:
        async with AIOKafkaProducer(
            bootstrap_servers=self.broker.bootstrap, acks="all", max_request_size=5 << 20
        ) as producer:
            sent = value if kept else b"something else"
            at = await producer.send_and_wait(self.prefix + topic, sent, key, partition=1, headers=list(headers))
            record = FakeRecord(at.offset, value, key, topic=at.topic, partition=at.partition)
            letter = dead_letter(
                record,
                agent="classify",
                reason=reason,
                error=GiveUp("expected value", reason=reason),
                attempts=1,
                at_ms=at_ms,
            )
            await self.send_letter(producer, shortened(letter) if cut else letter)
        return letter.origin.removeprefix(self.prefix)

    async def send_letter(self, producer: AIOKafkaProducer, letter: DeadLetter) -> None:
        await producer.send_and_wait(f"{self.prefix}dead-letters", letter.encode(), letter.origin.encode())

    def limit(self, topic: str, most: int) -> None:
        """From now on the broker refuses messages larger than this many bytes."""
        self.run(self._limit(topic, most))

    async def _limit(self, topic: str, most: int) -> None:
        async with admin_client(self.connection) as admin:
            config = {"max.message.bytes": str(most)}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, self.prefix + topic, config)])
        async with asyncio.timeout(30):
            while config.items() - (await topic_settings(self.connection, [self.prefix + topic])).popitem()[1].items():
                await asyncio.sleep(0.1)

    def records(self, topic: str) -> list[ConsumerRecord]:
        """Return the committed records of a topic, each partition's in its order."""
        return self.run(self._records(topic))

    async def _records(self, topic: str) -> list[ConsumerRecord]:
        async with reader([topic], self.connection, prefix=self.prefix) as consumer:
            return [record async for record in to_the_end(consumer)]

    def redriven(self, topic: str = "tickets") -> list[ConsumerRecord]:
        """Return what came to a topic from dead letters."""
        return [record for record in self.records(topic) if LETTER_HEADER in dict(record.headers)]
