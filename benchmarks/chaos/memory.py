"""The memory under chaos: half of it is there before the workers start, the rest comes and some goes while things break."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from schemas import Example
from streams.core.policy.fitted import READING, BoundedMemory, Fitted, FittedMemory, FittedTier, Promise
from streams.core.policy.policy import MemoryRule, Policy
from streams.embedding.minilm import MiniLM
from streams.errors import HedgerowError
from streams.kafka.connection import Connection
from streams.kafka.example_book import ExampleTopic, example_topic
from streams.kafka.ticket_rows import Fault
from streams.memory.loading import embedded, read_rows
from streams.sandbox.model_server.served import DATE
from streams.sandbox.tickets import TRAIN
from streams.settings import MemorySettings, Settings

#: Examples sent at once.
_STEP = 20
#: Every so many examples one is forgotten again.
_FORGOTTEN = 10
_AGAIN_S = 0.5
#: Answers of the memory are to be seen in a short run, so the rule is looser than one that calibration would choose.
_RULE = MemoryRule(min_similarity=0.8, min_votes=1, min_share=1.0)
_PROMISE = Promise(max_error=0.05, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1)


async def labelled(labels: Sequence[str]) -> list[Example]:
    """Return the tickets that the sandbox models are trained on, as a load would send them."""
    lines: list[tuple[int, bytes | Fault]] = list(enumerate(TRAIN.read_bytes().splitlines(), start=1))
    rows = list(read_rows(lines, labels, ()).by_id.values())
    made = [
        each async for some in embedded(rows, MiniLM(), by="chaos", at_ms=time.time_ns() // 1_000_000) for each in some
    ]
    return [each for each in made if each is not None]


def remembering(settings: Settings, size: int) -> Settings:
    """Return the settings with the topic as the memory, and a policy that was fitted with this size and has a tier zero."""
    settings = settings.model_copy(update={"memory": MemorySettings()})
    prompt, tiers = settings.prompt, settings.tiers
    cheap, big = (
        FittedTier(model_asked=tier.model, model_returned=f"{tier.model}-{DATE}", prompt_hash=prompt.hash)
        for tier in (tiers.cheap, tiers.big)
    )
    assert settings.memory is not None
    memory = FittedMemory(embedding_model=settings.memory.embedding_model, examples=settings.memory.examples, size=size)
    fitted = Fitted(
        reading=READING,
        data_hash="",
        records=1,
        date=datetime.date(2026, 1, 1),
        labels=prompt.labels,
        cheap=cheap,
        big=big,
        promise=_PROMISE,
        memory=memory,
        tier_zero=BoundedMemory(answered=1, wrong=0, bound=0.05),
        figures={},
    )
    return settings.model_copy(update={"policy": Policy(memory=_RULE, fitted=fitted)})


async def load(examples: Sequence[Example], connection: Connection, prefix: str) -> None:
    """Send examples as `hedgerow memory load` does, again and again until the broker has all of them."""

    async def put(topic: ExampleTopic) -> None:
        await topic.put([each for each in examples if topic.book.get(each.example_id) is None])

    await _until_done(put, connection, prefix)


async def change(examples: Sequence[Example], connection: Connection, prefix: str) -> None:
    """Load these in steps, and forget some of them again."""
    for start in range(0, len(examples), _STEP):
        some = examples[start : start + _STEP]
        await load(some, connection, prefix)
        gone = [each.example_id for each in some[::_FORGOTTEN]]
        await _until_done(partial(ExampleTopic.forget, ids=gone, by="chaos"), connection, prefix)


def left(first: Sequence[Example], later: Sequence[Example]) -> int:
    """Return how many examples there are once ``later`` were loaded after ``first`` as ``change`` does."""
    return len(first) + sum(place % _STEP % _FORGOTTEN != 0 for place in range(len(later)))


async def _until_done(work: Callable[[ExampleTopic], Awaitable[None]], connection: Connection, prefix: str) -> None:
    while True:
        try:
            async with example_topic(connection, prefix=prefix) as topic:
                await work(topic)
        except HedgerowError:
            await asyncio.sleep(_AGAIN_S)
        else:
            return
