"""Runs a handler that only computes: a chunk of records in one go, in the task of the caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from streams.aio import is_cancelled
from streams.delivery.assignment import Assignment, Partition
from streams.delivery.dispatch import Result
from streams.delivery.runner import Runner
from streams.delivery.stage import Record

#: The event loop has its turn after this many records.
_CHUNK = 1024


class BatchRunner(Runner):
    """Handles each chunk, sends its outputs together, and waits for them; the stage's memory catches up before that.

    Outputs that were lost with their transaction are computed again: their records are read again.
    """

    def begin(self, assignment: Assignment) -> None:
        """Let this assignment count from now on."""
        super().begin(assignment)
        self.dispatch.take_lost()

    async def run(self, records: Sequence[Record]) -> None:
        """Handle accepted records, and return when their outputs are acknowledged or dropped."""
        try:
            for start in range(0, len(records), _CHUNK):
                chunk = records[start : start + _CHUNK]
                if not self.intake.is_shut:
                    await self._catch_up(chunk)
                    await self._run_chunk([record for record in chunk if self._is_ours(record)])
                    await asyncio.sleep(0)  # a chunk without outputs would wait for nothing
        except (Exception, asyncio.CancelledError) as error:
            if is_cancelled():
                raise
            self.fail(error)
        finally:
            self._changes.note()

    def _abandon(self, partition: Partition) -> None:
        """Drop nothing: there is no queue, and a chunk is in one piece."""

    async def _run_chunk(self, records: Sequence[Record]) -> None:
        """Steps 3 to 6 for each record, then 7 to 9 for all."""
        began = time.perf_counter()
        results: list[Result] = []
        seen: set[bytes] = set()
        for record in records:
            result = self._result(record, seen)
            if result.message_id is not None:
                seen.add(result.message_id)
            results.append(result)
        await self.dispatch.deliver(results, began)

    def _result(self, record: Record, seen: set[bytes]) -> Result:
        message, letter = self._handling.decode(record)
        if message is None:
            return Result(record, letter)
        message_id = self._handling.id_of(message)
        why = None if message_id is None else "known_id" if message_id in seen else self._finished.why_known(message_id)
        if why is not None:
            self._observer.skipped(self.stage.agent, why, 1)
            return Result(record, ())
        return Result.of(record, self._handling.compute(record, message), message_id)
