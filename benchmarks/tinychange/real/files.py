"""The model's files: a copy in half precision to edit, its edited copies, and what is served of them."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MLP = (".ffn_gate.", ".ffn_up.", ".ffn_down.")
ATTENTION = (".attn_q.", ".attn_k.", ".attn_v.", ".attn_output.")

Values = NDArray[Any]


def edited_copy(source: Path, target: Path, edit: Callable[[str, Values], Values | None]) -> Path:
    """Write a copy of a half-precision file in which ``edit`` has replaced tensors; None leaves one as it is.

    A target that exists is taken for such a copy and written over, which is several times faster than a new file.
    """
    if not target.is_file():
        scratch = target.with_suffix(".part")
        shutil.copyfile(source, scratch)
        scratch.rename(target)
    before, after = np.memmap(source, mode="r"), np.memmap(target, mode="r+")
    for tensor in _tensors(source):
        old = tensor.values(before)
        replaced = edit(tensor.name, old)
        tensor.values(after)[...] = old if replaced is None else replaced
    return target


class EditedInPlace:
    """A copy of a half-precision file whose tensors are edited where they lie.

    A runtime that has mapped the copy into its memory answers with the edited weights from then on: it need not load
    them, and only what changes is written.
    """

    def __init__(self, source: Path, path: Path) -> None:
        """Copy the file."""
        shutil.copyfile(source, path)
        self.path = path
        self._source = source
        self._before, self._after = np.memmap(source, mode="r"), np.memmap(path, mode="r+")
        self._edited: set[str] = set()

    def edit(self, edit: Callable[[str, Values], Values | None]) -> None:
        """Make the copy the source again but for the tensors that ``edit`` replaces."""
        edited = set()
        for tensor in _tensors(self._source):
            old = tensor.values(self._before)
            replaced = edit(tensor.name, old)
            if replaced is not None:
                edited.add(tensor.name)
                tensor.values(self._after)[...] = replaced
            elif tensor.name in self._edited:
                tensor.values(self._after)[...] = old
        self._edited = edited


def weights(path: Path) -> dict[str, Values]:
    """Return a half-precision file's tensors in single precision, by name."""
    data = np.memmap(path, mode="r")
    return {tensor.name: tensor.values(data).astype(np.float32) for tensor in _tensors(path)}


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Where a tensor stands in its file, in bytes, and what it is."""

    name: str
    start: int
    shape: tuple[int, ...]
    kind: np.dtype[Any]

    def values(self, data: Values) -> Values:
        """Return its values as a view of the file's bytes."""
        size = math.prod(self.shape) * self.kind.itemsize
        return data[self.start : self.start + size].view(self.kind).reshape(self.shape)


@lru_cache(maxsize=2)
def _tensors(path: Path) -> tuple[_Tensor, ...]:
    """Read a file's directory. It takes seconds, for the sake of a quarter of a million tokens that stand beside it."""
    from gguf import GGUFReader

    return tuple(
        _Tensor(one.name, int(one.data_offset), one.data.shape, one.data.dtype) for one in GGUFReader(path).tensors
    )
