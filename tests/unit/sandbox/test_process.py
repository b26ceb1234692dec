from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from streams.sandbox.process import ChildProcess

SLEEPER = [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)"]
ORDERLY = [
    sys.executable,
    "-c",
    "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(5)); print('started', flush=True); "
    "time.sleep(600)",
]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True); time.sleep(600)",
]


async def started(child: ChildProcess) -> None:
    async with asyncio.timeout(20):
        while "started" not in child.tail():
            assert await child.wait(0.01) is None, child.tail()


def guard_of(pid: int) -> int:
    (guard,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(guard)


async def test_stop_asks_first() -> None:
    child = ChildProcess(SLEEPER)
    await started(child)
    assert child.alive
    await child.stop(grace=20)
    assert not child.alive
    assert await child.wait(0) == -signal.SIGTERM


async def test_stop_insists_when_asking_does_not_help() -> None:
    child = ChildProcess(STUBBORN)
    await started(child)
    await child.stop(grace=0.1)
    assert await child.wait(0) == -signal.SIGKILL


async def test_a_paused_process_is_stopped_in_order() -> None:
    child = ChildProcess(ORDERLY)
    await started(child)
    child.pause()
    assert child.alive
    await child.stop(grace=20)
    assert await child.wait(0) == 5, "it handled the SIGTERM itself"


async def test_a_paused_process_runs_on_when_resumed() -> None:
    child = ChildProcess(["/bin/sh", "-c", "read line; echo got on"])
    child.pause()
    assert await child.wait(0.05) is None
    child.resume()
    assert await child.wait(20) == 0
    assert child.tail() == "got on"
    await child.stop(grace=0)


async def test_stopping_twice_and_killing_after_are_harmless() -> None:
    child = ChildProcess(SLEEPER)
    await child.kill()
    await child.stop(grace=1)
    await child.kill()
    assert await child.wait(0) == -signal.SIGKILL


async def test_the_last_lines_outlive_the_process(tmp_path: Path) -> None:
    child = ChildProcess(["/bin/sh", "-c", "seq 1 5000; echo fault >&2; exit 3"], output=tmp_path / "log")
    assert await child.wait(20) == 3
    assert child.tail(3) == "4999\n5000\nfault"
    await child.kill()
    assert child.tail(3) == "4999\n5000\nfault"
    assert (tmp_path / "log").read_text().startswith("1\n2\n3\n")


async def test_a_command_that_does_not_exist_says_so() -> None:
    child = ChildProcess(["/no/such/command"])
    assert await child.wait(20) == 1
    assert "/no/such/command" in child.tail() or "No such file" in child.tail()
    await child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_stop_leaves_no_guard_behind() -> None:
    child = ChildProcess(SLEEPER)
    await started(child)
    guard = os.pidfd_open(guard_of(child.pid))
    try:
        await child.stop(grace=20)
        assert select.select([guard], [], [], 20) == ([guard], [], [])
    finally:
        os.close(guard)


async def test_it_outlives_the_thread_and_the_event_loop_that_started_it() -> None:
    children: list[ChildProcess] = []

    async def start() -> None:
        children.append(ChildProcess(SLEEPER))
        await started(children[0])

    thread = threading.Thread(target=lambda: asyncio.run(start()))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert await children[0].wait(0.2) is None
    await children[0].stop(grace=20)


PARENT = """
import os, sys, time
from streams.sandbox.process import ChildProcess
child = ChildProcess([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for a process that is not its child, as Linux can")
def test_it_dies_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        try:
            assert select.select([child], [], [], 0) == ([], [], []), "it is running"
            parent.kill()
            assert select.select([child], [], [], 20) == ([child], [], []), "it must end with its parent"
        finally:
            os.close(child)
