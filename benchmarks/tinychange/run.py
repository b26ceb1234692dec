"""From a subject to its recordings: what the cache holds is read, the rest is asked for, one variant after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from benchmarks.tinychange.recording import Recording
from benchmarks.tinychange.variants import Variant

ORIGINAL = "original"


class Subject(Protocol):
    """A model, its variants, and how to ask them."""

    name: str
    variants: tuple[Variant, ...]

    def record(self, variant: Variant | None) -> Recording:
        """Return the rows of a variant, or of the original."""

    def noise(self) -> list[dict[str, Any]]:
        """Return what serving alone does to the probe."""

    def prompt_tokens(self) -> dict[str, float]:
        """Return the mean prompt tokens of a probe, a completion and a question."""

    def close(self) -> None:
        """Delete what only further recordings would need."""


def facts(subject: Subject, folder: Path) -> dict[str, Any]:
    """Return what is measured once about the original: its serving noise and the length of its prompts."""
    path = folder / "facts.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(orjson.dumps({"noise": subject.noise(), "prompt_tokens": subject.prompt_tokens()}))
    found: dict[str, Any] = orjson.loads(path.read_bytes())
    return found


def recorded(
    subject: Subject, wanted: Iterable[Variant], folder: Path, told: Callable[[str], None]
) -> tuple[Recording, dict[str, Recording]]:
    """Return the original's recording and those of the variants, by name; each is written before the next begins."""
    left = [variant for variant in wanted if not _path(folder, variant.name).is_file()]
    original = _one(subject, None, folder)
    began = time.monotonic()
    for done, variant in enumerate(left, start=1):
        _one(subject, variant, folder)
        spent = time.monotonic() - began
        told(
            f"{done} of {len(left)}: {variant.name}, {spent:.0f} s so far, {spent / done * (len(left) - done):.0f} s left"
        )
    return original, {variant.name: one for variant in subject.variants if (one := loaded(folder, variant.name))}


def loaded(folder: Path, name: str) -> Recording | None:
    """Return a recording that the cache holds."""
    path = _path(folder, name)
    return Recording.load(path) if path.is_file() else None


def _one(subject: Subject, variant: Variant | None, folder: Path) -> Recording:
    name = ORIGINAL if variant is None else variant.name
    found = loaded(folder, name)
    if found is None:
        found = subject.record(variant)
        found.save(_path(folder, name))
    return found


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npz"
