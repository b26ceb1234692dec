"""Look-ups in batches: whatever waits, each ticket gets its own answer, and none is passed over for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Ticket
from streams.core.memory.recall import Recalled
from streams.memory.lookups import Lookups
from tests.support.messages import ticket


class Keeping:
    """A memory that says of a ticket the number in its id, and keeps what it was asked."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    async def recall(self, tickets: Sequence[Ticket]) -> list[Recalled]:
        self.batches.append([int(one.ticket_id) for one in tickets])
        await asyncio.sleep(0)
        return [Recalled(novelty=float(one.ticket_id)) for one in tickets]


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(1, 3_000), min_size=1, max_size=50), min_size=1, max_size=4),
    st.integers(1, 3),
    st.sets(st.integers(0, 60)),
)
def test_each_ticket_is_asked_about_once_and_gets_its_own_answer(
    waves: list[list[int]], at_once: int, cancelled: set[int]
) -> None:
    memory = Keeping()

    async def run() -> dict[int, Recalled | BaseException]:
        lookups = Lookups(memory, at_once=at_once)  # type: ignore[arg-type]
        tasks: list[asyncio.Task[Recalled]] = []
        for lengths in waves:
            for length in lengths:
                tasks.append(asyncio.create_task(lookups.recall(ticket(str(len(tasks)), "x" * length))))
            await asyncio.sleep(0)
            for number in cancelled & set(range(len(tasks))):
                tasks[number].cancel()
        return dict(enumerate(await asyncio.gather(*tasks, return_exceptions=True)))

    answers = asyncio.run(run())
    for number, answer in answers.items():
        if number in cancelled and isinstance(answer, asyncio.CancelledError):
            continue
        assert isinstance(answer, Recalled)
        assert answer.novelty == number
    asked = [number for batch in memory.batches for number in batch]
    assert len(asked) == len(set(asked))
    assert all(len(batch) <= 16 for batch in memory.batches)
    if not cancelled:
        # Whatever has waited longest goes: the first of each batch is older than all that is asked about later.
        for place, batch in enumerate(memory.batches):
            assert batch[0] <= min(number for later in memory.batches[place:] for number in later)
