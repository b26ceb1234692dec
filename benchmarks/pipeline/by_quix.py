"""The same four stages with quixstreams: ``python -m benchmarks.pipeline.by_quix SETTINGS``.

quixstreams handles one message after the other, so the stages that call out are sinks: they gather messages up to the
checkpoint, call for all of them at once in an event loop of their own, and await the delivery of what follows; then
quixstreams commits. The score stage is an ordinary dataframe.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop
from quixstreams import Application
from quixstreams.models import HeadersTuples
from quixstreams.models.serializers import Serializer
from quixstreams.sinks import BaseSink

from benchmarks.pipeline.steps import Step, Steps
from schemas import TOPICS, Classification, Message, topic_of
from streams.kafka.producers import MAX_REQUEST_BYTES
from streams.settings import load_settings

#: An idle pipeline commits, and so calls out, this often.
_COMMIT_S = 0.05


class Encode(Serializer):  # type: ignore[misc]
    """Messages to bytes."""

    def __call__(self, value: Message, ctx: Any) -> bytes:
        """Return the message as it travels."""
        del ctx
        return value.encode()


class CallingOut(BaseSink):  # type: ignore[misc]
    """Handles everything that came since the last checkpoint at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, producer: Any, prefix: str, topic: str, step: Step) -> None:
        super().__init__()
        self._loop = loop
        self._producer = producer
        self._prefix = prefix
        self._message = TOPICS[topic].message
        self._step = step
        self._waiting: list[bytes] = []

    def add(
        self, value: Any, key: Any, timestamp: int, headers: HeadersTuples, topic: str, partition: int, offset: int
    ) -> None:
        """Keep one message until the checkpoint."""
        del key, timestamp, headers, topic, partition, offset
        self._waiting.append(value)

    def flush(self) -> None:
        """Handle what waits; returns when everything that follows from it is delivered."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        for outputs in self._loop.run_until_complete(self._handle(waiting)):
            for output in outputs:
                target = topic_of(output)
                self._producer.produce(
                    topic=self._prefix + target.name, key=target.key_of(output), value=output.encode()
                )
        self._producer.flush()

    async def _handle(self, waiting: list[bytes]) -> list[Any]:
        return await asyncio.gather(*[self._step(self._message.decode(value)) for value in waiting])


def main() -> None:
    """Run until the process is stopped."""
    settings = load_settings(Path(sys.argv[1]))
    prefix = settings.topics.prefix
    app = Application(
        broker_address=settings.broker.bootstrap,
        consumer_group=f"{prefix}quix",
        auto_offset_reset="earliest",
        commit_interval=_COMMIT_S,
        commit_every=settings.worker.in_flight,
        consumer_poll_timeout=_COMMIT_S,
        consumer_extra_config={"fetch.wait.max.ms": 100},
        producer_extra_config={"acks": "all", "enable.idempotence": True, "message.max.bytes": MAX_REQUEST_BYTES},
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="ERROR",
    )

    def topic(name: str) -> Any:
        return app.topic(prefix + name, value_deserializer="bytes", key_deserializer="bytes", key_serializer="bytes",
                         value_serializer=Encode())  # fmt: skip

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, app.get_producer() as producer:
        loop = runner.get_loop()
        steps = loop.run_until_complete(_opened(settings))
        for name, step in (("tickets", steps.classify), ("escalations", steps.escalate), ("reviews", steps.review)):
            app.dataframe(topic(name)).sink(CallingOut(loop, producer, prefix, name, step))
        targets = {name: topic(name) for name in ("routed", "escalations", "reviews")}
        scored = app.dataframe(topic("classifications"))
        scored = scored.apply(lambda value: steps.decide(Classification.decode(value)), expand=True)
        scored.to_topic(
            lambda value, *_: targets[topic_of(value).name], key=lambda value: topic_of(value).key_of(value)
        )
        app.run()


async def _opened(settings: Any) -> Steps:
    return await Steps(settings).__aenter__()


if __name__ == "__main__":
    main()
