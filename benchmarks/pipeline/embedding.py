"""What the embedding of a ticket costs by itself: ``python -m benchmarks.pipeline.embedding`` prints milliseconds of CPU.

The same texts as in the pipeline, in its batches, through the embedder that a worker uses.
"""

from __future__ import annotations

import asyncio
import random
import time

from benchmarks.pipeline.tickets import texts
from streams.embedding.minilm import MiniLM

_BATCH = 16
_TEXTS = 640


async def measure() -> float:
    """Embed some texts, and return the milliseconds of CPU of one."""
    embedder = MiniLM()
    some = random.Random(0).sample(texts(), _TEXTS)
    await embedder.embed(some[:_BATCH])
    began = time.process_time()
    for start in range(0, _TEXTS, _BATCH):
        await embedder.embed(some[start : start + _BATCH])
    return (time.process_time() - began) * 1000 / _TEXTS


if __name__ == "__main__":
    print(asyncio.run(measure()))
