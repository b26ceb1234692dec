"""Kept states of the drift agent: files from which a restart goes on, instead of reading a year of probes again.

A file is a pickle with a digest before it. It is taken up only by the same code, packages and Python with the same
detectors; nothing depends on it, as the topic holds all that is in it.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import pickle
import platform
import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import structlog

import schemas
import streams.core
from streams.agents import drift_memory
from streams.agents.drift_memory import Place, State

log = structlog.get_logger(__name__)

_KEPT: Final = 2
"""Files of a partition. The latest may be ahead of what is committed, and the one before it is not."""

_DIGEST: Final = 32

_CODE: Final = (streams.core, schemas, drift_memory)
"""Whose classes a state is made of, or what follows from them: a field added there leaves old states without it."""

_PACKAGES: Final = ("numpy", "pydantic", "pydantic-core", "river")
"""What the classes of a state come from, or compute with."""

_KNOWN: Final = {
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "Counter"),
    ("collections", "OrderedDict"),
    ("collections", "deque"),
    ("_operator", "eq"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("schemas.watch", "Probe"),
    ("streams.agents.drift_memory", "State"),
    ("streams.core.drift.window", "same_k"),
}
_OF_DETECTORS: Final = ("streams.core.drift.", "river.drift.", "river.stats.")


class DriftStates:
    """States in a folder, which is made when the first is kept. What cannot be read or written is logged, and not there."""

    def __init__(self, folder: Path, detectors: Sequence[str]) -> None:
        self._folder = folder
        self._key = hashlib.blake2b(repr((code_digest(), tuple(detectors))).encode(), digest_size=16).digest()

    def load(self, place: Place, before: int) -> State | None:
        """Return the latest kept state of a partition after a probe before this offset."""
        for offset, path in self._files(place):
            if offset < before and (state := self._read(path)) is not None and state.offset == offset:
                return state
        return None

    def keep(self, place: Place, state: State) -> None:
        """Keep a state; of each partition the latest two stay."""
        payload = pickle.dumps(state, protocol=5)
        path = self._folder / f"{_name(place)}-{state.offset}.state"
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.write_bytes(self._digest(payload) + payload)
            part.replace(path)
            for _, old in list(self._files(place))[_KEPT:]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the state of the drift agent is not kept", file=str(path), problem=error.strerror)

    def _files(self, place: Place) -> Iterator[tuple[int, Path]]:
        """Yield offset and path of a partition's files, the latest first."""
        pattern = re.compile(rf"{re.escape(_name(place))}-(\d+)\.state")
        names = os.listdir(self._folder) if self._folder.is_dir() else ()
        found = [(int(match[1]), self._folder / name) for name in names if (match := pattern.fullmatch(name))]
        yield from sorted(found, reverse=True)

    def _read(self, path: Path) -> State | None:
        try:
            content = path.read_bytes()
        except OSError as error:
            log.warning("a kept state cannot be read", file=str(path), problem=error.strerror)
            return None
        payload = content[_DIGEST:]
        if content[:_DIGEST] != self._digest(payload):
            return None  # of other code or other detectors, or not whole
        try:
            state = _Unpickler(io.BytesIO(payload)).load()
        except Exception as error:  # noqa: BLE001 - a broken pickle raises almost anything, and then it is not there
            log.warning("a kept state cannot be read", file=str(path), problem=repr(error))
            return None
        return state if isinstance(state, State) else None

    def _digest(self, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, digest_size=_DIGEST, key=self._key).digest()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what a state may be made of; a class of the detectors, a few of plain data, and nothing else."""
        found = getattr(importlib.import_module(module), name) if module.startswith(_OF_DETECTORS) else None
        if (module, name) in _KNOWN or (isinstance(found, type) and found.__module__ == module):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"a state holds no {module}.{name}")


def _name(place: Place) -> str:
    return f"{place[0]}-{place[1]}"


@cache
def code_digest() -> str:
    """Return a digest of the code that states are of, and of the versions of what it runs on."""
    versions = [platform.python_version(), *map(_installed, _PACKAGES)]
    digest = hashlib.blake2b(repr(versions).encode(), digest_size=16)
    for module in _CODE:
        path = Path(str(module.__file__))
        for source in sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]:
            digest.update(source.relative_to(path.parent).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
