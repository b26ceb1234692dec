"""A PostgreSQL that can be killed with all its processes, and started again on the data that it has synced."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import sqlalchemy as sa

from streams.sandbox.ports import ReservedPort
from tests.support.postgres import programs


class KillablePostgres:
    """A context manager; the data are thrown away at the end."""

    def __init__(self) -> None:
        folder = programs()
        assert folder is not None, "PostgreSQL is not installed"
        self._folder = folder
        self._user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None  # it refuses to run as root
        self._home = tempfile.TemporaryDirectory(prefix="hedgerow-postgres-")
        self._port = ReservedPort()

    def __enter__(self) -> Self:
        self._port.__enter__()
        home = self._home.name
        if self._user is not None:
            shutil.chown(home, self._user)
        self._data = Path(home) / "data"
        make = [self._folder / "initdb", "-D", self._data, "-U", "hedgerow", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(make, check=True, capture_output=True, user=self._user, cwd=home)
        self.url = f"postgresql+psycopg://hedgerow@127.0.0.1:{self._port.number}/postgres"
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._server.pid, signal.SIGQUIT)
        self._server.wait(30)
        self._port.__exit__(None, None, None)
        self._home.cleanup()

    def kill_and_start(self) -> None:
        """Kill the server and all its children, and start it again."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.wait(30)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._start()

    def _start(self) -> None:
        options = ["-h", "127.0.0.1", "-p", str(self._port.number), "-k", self._home.name]
        self._server = subprocess.Popen(
            [self._folder / "postgres", "-D", self._data, *options],
            user=self._user, cwd=self._home.name, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        engine, deadline = sa.create_engine(self.url), time.monotonic() + 60
        while True:
            try:
                engine.connect().close()
            except sa.exc.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                engine.dispose()
                return
