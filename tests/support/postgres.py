"""A PostgreSQL of the tests' own, where the machine has one installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from streams.sandbox.ports import ReservedPort

START_S = 60.0


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version's; Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: float(path.parent.name))


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a server on a free port of this machine, its data thrown away at the end; yield its URL."""
    # It refuses to run as root.
    user = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="hedgerow-postgres-") as home, ReservedPort() as port:
        if user is not None:
            shutil.chown(home, user)
        data = Path(home) / "data"
        subprocess.run(
            [folder / "initdb", "-D", data, "-U", "hedgerow", "--auth=trust", "--no-sync", "--encoding=UTF8"],
            check=True, capture_output=True, user=user, cwd=home, timeout=START_S,
        )  # fmt: skip
        options = ["-h", "127.0.0.1", "-p", str(port.number), "-k", home, "-F"]
        server = subprocess.Popen(
            [folder / "postgres", "-D", data, *options], user=user, cwd=home, stderr=subprocess.DEVNULL
        )
        try:
            url = f"postgresql+psycopg://hedgerow@127.0.0.1:{port.number}/postgres"
            _wait(url, server)
            yield url
        finally:
            server.terminate()
            server.wait(START_S)


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    engine = sa.create_engine(url)
    while True:
        try:
            engine.connect().close()
        except sa.exc.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            engine.dispose()
            return
