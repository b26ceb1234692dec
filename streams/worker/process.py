"""A worker as the last thing that a process does: its signals, its end, its interpreter."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Sequence

from streams.agents.registry import AgentName
from streams.settings import Settings
from streams.worker.hard_stop import HardStop, stop_bound_s
from streams.worker.worker import Worker


def tune_interpreter() -> None:
    """Set what a worker process wants of the interpreter; called once, when everything is imported.

    The garbage collector runs less often, and skips what is there for good. Messages hold no cycles, but thousands of them
    are alive at once: with the default thresholds, looking through them took a third of the score agent's CPU time.
    Threads hand over ten times sooner than by default: the review store and the metrics page have separate threads,
    and while one is at work the event loop waits for its turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)
    sys.setswitchinterval(0.0005)


async def run_worker(settings: Settings, agents: Sequence[AgentName]) -> None:
    """Run a worker until SIGTERM or SIGINT, as the last thing that this process does.

    Raises StopWorker if nothing can succeed any more. The process is ended hard if its event loop makes no progress for
    the stall limit, or if it is not gone within a bounded time after the stop.
    """
    worker = Worker(settings, agents)
    hard_stop = HardStop(settings.worker.stalled_after_s)
    hard_stop.start()
    beating = asyncio.create_task(hard_stop.beat())
    stopping = asyncio.create_task(worker.stopping())
    stopping.add_done_callback(lambda _: hard_stop.within(stop_bound_s(settings.worker)))
    tune_interpreter()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        stopping.cancel()  # an end for any other reason has to come in time too
        beating.cancel()
