"""The last resort of a worker process: a thread that ends it when its event loop stalls, or when stopping takes too long."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from streams.settings import WorkerSettings

#: For the last commit, leaving the groups and closing the connections.
STOP_MARGIN_S = 15.0
_TICK_S = 1.0


def stop_bound_s(worker: WorkerSettings) -> float:
    """Return how many seconds after it was told to stop a worker process is gone, in good order or not."""
    return worker.stop_wait_s + worker.revoke_wait_s + STOP_MARGIN_S


def _end(line: str) -> None:
    # Not through the log: the thread that has stalled may hold its lock.
    at = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    sys.stderr.write(f"{at} hedgerow: {line}\n")
    sys.stderr.flush()
    os._exit(1)


class HardStop:
    """Ends the process with one line and exit status 1; what was in progress is handled again by the next one.

    It counts its own ticks (seconds): in a process that is frozen they do not pass, so one that wakes up again has its whole time.
    ``end`` is what is called, once.
    """

    def __init__(self, still_s: float, end: Callable[[str], None] = _end, tick_s: float = _TICK_S) -> None:
        self._still_s = still_s
        self._end = end
        self._tick_s = tick_s
        self._beats = 0
        self._stop_s: float | None = None
        self._off = threading.Event()
        self._watched = threading.main_thread().ident
        self._thread = threading.Thread(target=self._watch, name="hard-stop", daemon=True)

    def start(self) -> None:
        """Begin to watch; the event loop to be watched runs ``beat``."""
        self._watched = threading.get_ident()
        self._thread.start()

    async def beat(self) -> None:
        """Show for ever that the event loop turns."""
        while True:
            self._beats += 1
            await asyncio.sleep(self._tick_s)

    def within(self, seconds: float) -> None:
        """The process has been told to stop, and is to be gone within this time; the first call counts."""
        if self._stop_s is None:
            self._stop_s = seconds

    def disarm(self) -> None:
        """Watch no longer. A worker process never does this: what hangs after its last line is ended too."""
        self._off.set()

    def _watch(self) -> None:
        beats, still, stopping = -1, 0.0, 0.0
        while not self._off.wait(self._tick_s):
            still = 0.0 if self._beats != beats else still + self._tick_s
            beats = self._beats
            if self._stop_s is not None:
                stopping += self._tick_s
                if stopping >= self._stop_s:
                    self._end(f"not stopped within {self._stop_s:g} s; ended{self._place()}")
                    return
            elif still >= self._still_s:
                self._end(f"the event loop has stalled for {still:g} s; ended{self._place()}")
                return

    def _place(self) -> str:
        """Say which line the watched thread is at."""
        frame = sys._current_frames().get(self._watched or 0)
        return "" if frame is None else f" in {frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"
