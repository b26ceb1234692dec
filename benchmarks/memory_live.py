"""How soon a row is an example in a running worker, while that worker builds the index of a large memory.

``python -m benchmarks.memory_live [--examples 50000] [--broker embedded|kafka]``. One worker process starts with an empty topic
``memory``. Then random vectors in clusters come, and from the moment that the worker has all of them one row after the other, each
with a ticket of the same text. ``row`` is the time until the worker counts it, ``ticket`` that until classify has asked about
the ticket, showing the row. ``CPU`` is the worker's, in cores. It ends some rows after the worker's log says that the graph of
neighbours is built.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import uvloop

from benchmarks.chaos.stand import WorkerSlot, now_ms
from benchmarks.memory_index import vectors
from benchmarks.pipeline.usage import cpu_seconds
from benchmarks.workers import Stand, stand
from schemas import Classification, Example, Ticket
from streams.core.memory.vector_bytes import packed
from streams.embedding.minilm import MODEL, MiniLM
from streams.kafka.outbox import Outbox
from streams.kafka.readers import decode, reader
from streams.kafka.send import open_outbox
from streams.memory.memory import INDEX_BUILT
from streams.observability.logs import configure_logging
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import TRAIN
from streams.settings import MemorySettings, Settings

_PREFIX = "live."
_PATIENCE_S = 300.0
#: Examples sent at once.
_STEP = 1_000
_LOOK_EVERY_S = 0.02
_PAUSE_S = 1.0
#: Rows that come once the graph is built.
_AFTERWARDS = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """What one row met, in seconds, and whether the graph was built when it came."""

    row: float
    ticket: float
    built: bool


def example(example_id: str, text: str, label: str, vector: bytes) -> Example:
    """Return an example as a load would send it."""
    return Example(
        example_id=example_id,
        text=text,
        label=label,
        source="file",
        by="benchmark",
        at_ms=now_ms(),
        embedding_model=MODEL,
        vector=vector,
    )


async def until_counted(slot: WorkerSlot, count: int, http: httpx.AsyncClient) -> None:
    """Wait until the worker says that it holds this many examples."""
    async with asyncio.timeout(_PATIENCE_S):
        while slot.examples != count:
            await asyncio.sleep(_LOOK_EVERY_S)  # a gauge has no event
            await slot.look(http)


async def until_shown(there: Stand, outbox: Outbox, ticket: Ticket, example_id: str) -> None:
    """Send a ticket and wait until classify has asked about it, with this example in the prompt."""
    async with asyncio.timeout(_PATIENCE_S), reader(["classifications"], there.connection, prefix=_PREFIX) as consumer:
        await outbox.send([ticket])
        while True:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for message in (decode(record, _PREFIX) for record in records):
                    if isinstance(message, Classification) and message.ticket_id == ticket.ticket_id:
                        if example_id not in {one.id for one in message.call.shown}:
                            raise SystemExit(f"{ticket.ticket_id}: not shown {example_id}")
                        return


async def measure(examples: int, broker: str) -> None:
    """Run it, and print a line for each row."""
    embedder = MiniLM()

    def remembering(settings: Settings) -> Settings:
        return settings.model_copy(update={"memory": MemorySettings(max_examples=2 * examples)})

    async with (
        stand(broker, ModelServer(TRAIN), 1, prefix=_PREFIX, adjusted=remembering) as there,
        httpx.AsyncClient() as http,
        open_outbox(there.connection, prefix=_PREFIX) as outbox,
    ):
        [slot] = there.slots
        assert slot.process is not None
        pid = slot.process.pid
        labels = slot.settings.label_set.labels
        rows = [
            example(f"e-{number}", f"Example number {number}.", labels[number % len(labels)], vector)
            for number, vector in enumerate(packed(vectors(examples, 1)))
        ]
        began = time.monotonic()
        for start in range(0, examples, _STEP):
            await outbox.send(rows[start : start + _STEP])
        print(f"{examples} examples sent in {time.monotonic() - began:.1f} s", flush=True)
        await until_counted(slot, examples, http)
        print(f"at the worker after {time.monotonic() - began:.1f} s", flush=True)
        seen: list[Seen] = []
        used, at = cpu_seconds(pid), time.monotonic()
        while sum(one.built for one in seen) < _AFTERWARDS:
            await asyncio.sleep(_PAUSE_S)
            number, built = len(seen), INDEX_BUILT in (slot.folder / "worker-0.log").read_text(encoding="utf-8")
            text = f"Where is parcel number {1000 + 7 * number}?"
            [vector] = packed(await embedder.embed([text]))
            sent = time.monotonic()
            row = example(f"late-{number}", text, labels[0], vector)
            await outbox.send([row])
            await until_counted(slot, examples + number + 1, http)
            counted = time.monotonic()
            await until_shown(there, outbox, Ticket(ticket_id=f"t-{number}", text=text), row.example_id)
            shown = time.monotonic()
            now = cpu_seconds(pid)
            cores = (now - used) / (shown - at)
            used, at = now, shown
            seen.append(Seen(counted - sent, shown - counted, built))
            print(
                f"{shown - began:6.1f} s  row {seen[-1].row:.2f} s  ticket {seen[-1].ticket:.2f} s  CPU {cores:.2f}"
                f"{'  built' if built else ''}",
                flush=True,
            )
        for name, some in (
            ("while the graph was built", [one for one in seen if not one.built]),
            ("afterwards", [one for one in seen if one.built]),
        ):
            print(f"{name}: {len(some)} rows{_longest(some)}")


def _longest(seen: Sequence[Seen]) -> str:
    if not seen:
        return ""
    return f", row at most {max(one.row for one in seen):.2f} s, ticket at most {max(one.ticket for one in seen):.2f} s"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=50_000)
    parser.add_argument("--broker", choices=("embedded", "kafka"), default="embedded")
    options = parser.parse_args()
    configure_logging(level="error")
    uvloop.run(measure(options.examples, options.broker))


if __name__ == "__main__":
    main()
