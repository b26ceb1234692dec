"""The model's files: a copy in half precision to edit, its edited copies, and what is served of them."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streams.errors import SandboxError
from streams.sandbox.extras import missing_extra
from streams.sandbox.language_model.weights import missing_packages

MLP = (".ffn_gate.", ".ffn_up.", ".ffn_down.")
ATTENTION = (".attn_q.", ".attn_k.", ".attn_v.", ".attn_output.")

Values = NDArray[Any]


def missing() -> str | None:
    """Why the full setting cannot run here, in one line that says what to install, or None when it can."""
    return missing_extra("the full setting", "tinychange") or missing_packages()


def requantised(source: Path, target: Path, kind: str) -> Path:
    """Write a model in another kind of quantisation (``q6_k``, ``f16`` ...) with the runtime's own tool."""
    from ik_llama_cpp.quantize import find_quantize_bin

    tool = find_quantize_bin()
    if tool is None:
        raise SandboxError("ik-llama-cpp-python came without llama-quantize: install a wheel of 0.1.5")
    scratch = target.with_suffix(".part")
    done = subprocess.run(
        [str(tool), "--allow-requantize", str(source), str(scratch), kind, "1"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SandboxError(f"llama-quantize failed to make {kind}: {done.stderr[-400:]}")
    scratch.rename(target)
    return target


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


@lru_cache(maxsize=1)
def _tensors(path: Path) -> tuple[_Tensor, ...]:
    """Read a file's directory. It takes seconds, for the sake of a quarter of a million tokens that stand beside it."""
    from gguf import GGUFReader

    return tuple(
        _Tensor(one.name, int(one.data_offset), one.data.shape, one.data.dtype) for one in GGUFReader(path).tensors
    )
