"""A child process that never outlives the process that started it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

# Becomes the command, under the same pid. Before, it forks a guard that waits on the lifeline, which the kernel closes
# when we end in any way, and then kills the command. PR_SET_PDEATHSIG would need no guard, but it fires when the
# *thread* that forked ends (a worker thread of a closed event loop, say) and exists on Linux only. As long as the
# guard's parent is the command, that pid cannot have passed to another process.
_LAUNCHER = """
import os, signal, sys
lifeline, command = int(sys.argv[1]), os.getpid()
if os.fork() == 0:
    os.read(lifeline, 1)
    if os.getppid() == command:
        os.kill(command, signal.SIGKILL)
    os._exit(0)
os.close(lifeline)
os.execv(sys.argv[2], sys.argv[2:])
"""
_TAIL_BYTES = 8192


class ChildProcess:
    """One running command, its output kept for error messages, killed with us whatever ends us.

    It belongs to no event loop: it may be started in one and stopped in another. It has a separate session, so that
    Ctrl-C reaches only us and we choose the order of stopping.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: Path | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start ``command``, whose first element is an absolute path.

        Its output is appended to ``output``, or kept in an unnamed file. Without ``env`` it gets our environment.
        """
        self._output: BinaryIO = output.open("a+b") if output else tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._lifeline, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(theirs.fileno()), *command],
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._last_words = b""

    @property
    def alive(self) -> bool:
        """Whether the command has not ended yet (a paused one is alive)."""
        return self._process.poll() is None

    def tail(self, lines: int = 12) -> str:
        """The last lines that the command has written, also when it is gone."""
        written = self._last_words if self._output.closed else self._read_end()
        return "\n".join(written.decode(errors="replace").splitlines()[-lines:])

    def pause(self) -> None:
        """Freeze it (SIGSTOP): its connections stay open and nothing answers."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused command run on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    async def wait(self, seconds: float) -> int | None:
        """The exit status (minus the signal's number when one ended it); None when it still runs after ``seconds``."""
        try:
            return await asyncio.to_thread(self._process.wait, seconds)
        except subprocess.TimeoutExpired:
            return None

    async def stop(self, grace: float) -> None:
        """SIGTERM, wait at most ``grace`` seconds, SIGKILL; returns when the command and its guard are gone."""
        self._process.terminate()
        self._process.send_signal(signal.SIGCONT)  # a paused process would not see the SIGTERM
        try:
            await self.wait(grace)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL; returns when the command and its guard are gone."""
        self._process.kill()
        await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._process.wait()
        if self._lifeline.fileno() != -1:
            self._lifeline.shutdown(socket.SHUT_WR)
            self._lifeline.recv(1)  # returns once the guard has ended and its side is closed
            self._lifeline.close()
            self._last_words = self._read_end()
            self._output.close()

    def _read_end(self) -> bytes:
        descriptor = self._output.fileno()
        return os.pread(descriptor, _TAIL_BYTES, max(0, os.fstat(descriptor).st_size - _TAIL_BYTES))
