"""From a subject to its recordings: what the cache holds is read, the rest is asked for, one variant after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from benchmarks.tinychange.recording import Part, Recording
from benchmarks.tinychange.variants import Variant
from streams.errors import SandboxError

ORIGINAL = "original"


class Subject(Protocol):
    """A model, its variants, and how to ask them."""

    name: str
    variants: tuple[Variant, ...]

    def record(self, variant: Variant | None, part: Part = Part.ALL) -> Recording:
        """Return what a variant, or the original, answers to this part."""

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
    subject: Subject,
    wanted: Sequence[Variant],
    folder: Path,
    told: Callable[[str], None],
    parts: Sequence[Part] = (Part.ALL,),
) -> tuple[Recording, dict[str, Recording]]:
    """Return the original's recording and those of the variants, by name; each is written before the next begins.

    Of several parts each is asked of all variants before the next. The original is asked whatever is wanted.
    """
    for part in parts:
        left = [variant for variant in wanted if not _path(folder, variant.name, part).is_file()]
        if (left or part is parts[0]) and not _path(folder, ORIGINAL, part).is_file():
            subject.record(None, part).save(_path(folder, ORIGINAL, part))
        began = time.monotonic()
        for done, variant in enumerate(left, start=1):
            subject.record(variant, part).save(_path(folder, variant.name, part))
            spent = time.monotonic() - began
            told(
                f"{done} of {len(left)}: {variant.name}, {spent:.0f} s so far, "
                f"{spent / done * (len(left) - done):.0f} s left"
            )
    original = loaded(folder, ORIGINAL)
    if original is None:
        raise SandboxError(f"{folder} holds no recording of the original")
    return original, {variant.name: one for variant in subject.variants if (one := loaded(folder, variant.name))}


def loaded(folder: Path, name: str) -> Recording | None:
    """Return a recording that the cache holds, with its texts if they were asked for apart."""
    probes, texts = (_path(folder, name, part) for part in (Part.PROBES, Part.TEXTS))
    if not probes.is_file():
        return None
    found = Recording.load(probes)
    return found.with_texts(Recording.load(texts)) if texts.is_file() else found


def _path(folder: Path, name: str, part: Part) -> Path:
    return folder / (f"{name}.{part}.npz" if part is Part.TEXTS else f"{name}.npz")
