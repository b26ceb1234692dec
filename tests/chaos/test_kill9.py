"""kill -9 of a worker with one slow ticket in flight: it still comes out, and what was finished behind it stays finished."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from streams.sandbox.brokers.broker import Broker
from streams.sandbox.process import ChildProcess
from tests.support.stages import PATIENCE_S, Topics, topics_on

SLOW = "t-7"
COUNT = 300


def start(topics: Topics, file: Path, seconds: float) -> ChildProcess:
    arguments = [topics.broker.bootstrap, topics.prefix, SLOW, str(seconds), str(file)]
    return ChildProcess([sys.executable, "-m", "tests.chaos.slow_worker", *arguments])


def handled(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []


async def test_a_slow_ticket_survives_kill_9_of_its_worker(broker: Broker, tmp_path: Path) -> None:
    names = [f"t-{number}" for number in range(COUNT)]
    first, second = tmp_path / "first", tmp_path / "second"
    async with topics_on(broker, partitions=1) as topics:
        await topics.produce(names)
        worker = start(topics, first, seconds=600)
        # All but the slow one are out: what follows from here is up to the last commit.
        assert len(await topics.verdicts(COUNT - 1)) == COUNT - 1
        expected = set(range(topics.places[SLOW][1] + 1, COUNT))
        if broker.kind == "kafka":
            async with asyncio.timeout(PATIENCE_S):
                while (await topics.stored("classify")).get(0) is None or (
                    (await topics.stored("classify"))[0].finished != expected
                ):
                    await asyncio.sleep(0.05)  # the broker has no event for a commit
        await worker.kill()

        worker = start(topics, second, seconds=0)
        repeated = COUNT - 1 if broker.kind == "embedded" else 0
        low = topics.places[SLOW][1]
        async with asyncio.timeout(PATIENCE_S):
            while SLOW not in (out := await topics.verdicts(COUNT)):
                pass
        assert set(out) == set(names)
        again = handled(second)
        await worker.stop(10.0)
        assert SLOW in again
        # Nothing below the slow one is handled again, on either broker; behind it only where metadata is dropped.
        assert not set(again) & {name for name in names if topics.places[name][1] < low}
        assert len(set(again) - {SLOW}) <= repeated
        assert handled(first).count(SLOW) == 1
