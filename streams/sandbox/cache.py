"""Where large things are kept that every process of this user shares, and how one of them is made only once."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_root() -> Path:
    """Return ``$HEDGEROW_CACHE``, else ``~/.cache/hedgerow``."""
    return Path(os.environ.get("HEDGEROW_CACHE") or Path.home() / ".cache" / "hedgerow").absolute()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path`` against every other process; the kernel lets go of it with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
