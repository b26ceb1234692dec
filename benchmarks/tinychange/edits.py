"""Edits of one tensor: noise, and pruning by magnitude or at random. Values in, values out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.tinychange.variants import Family, Variant

Values = NDArray[Any]

_PIECE, _BANK = 2**16, 2**20


def edited(values: Values, variant: Variant, *, in_mlp: bool, chance: np.random.Generator) -> Values | None:
    """Return a tensor as the variant has it, or None if the variant leaves it as it is.

    Noise goes to every tensor (in steps: to every one in half precision), pruning to the MLP's alone.
    """
    if variant.family is Family.NOISE:
        return noisy(values, variant.amount, chance)
    if variant.family is Family.STEPS and values.dtype == np.float16:
        return stepped(values, variant.amount, chance)
    if variant.family is Family.SMALLEST and in_mlp:
        return without_smallest(values, variant.amount)
    if variant.family in (Family.RANDOM, Family.FEW) and in_mlp:
        return without_some(values, variant.amount, chance)
    return None


def noisy(values: Values, deviation: float, chance: np.random.Generator) -> Values:
    """Add Gaussian noise of this deviation to every weight.

    Each piece of a large tensor gets a stretch of one bank of normals, from a random place on: drawing every number
    anew would take most of the time that an edit takes.
    """
    result = np.empty_like(values)
    old, new = values.reshape(-1), result.reshape(-1)
    bank = _normals(old.size, deviation, chance)
    # In pieces that stay in the processor's cache: fresh memory for a whole tensor costs several times the arithmetic.
    for start in range(0, old.size, _PIECE):
        part = old[start : start + _PIECE]
        place = int(chance.integers(0, len(bank) - len(part) + 1))
        np.add(part, bank[place : place + len(part)], out=new[start : start + _PIECE], casting="unsafe")
    return result


def stepped(values: Values, deviation: float, chance: np.random.Generator) -> Values:
    """Move every half-precision weight by Gaussian noise in its own steps, rounded to whole ones.

    The bits of a half-precision number but for the sign, read as an integer, count the numbers from zero up to it; so one
    more is the next number. A weight so near to zero that it would pass it stays.
    """
    result = np.empty_like(values)
    old, new = values.reshape(-1).view(np.int16), result.reshape(-1).view(np.int16)
    bank = np.rint(_normals(old.size, deviation, chance)).astype(np.int16)
    for start in range(0, old.size, _PIECE):
        bits, moved = old[start : start + _PIECE], new[start : start + _PIECE]
        place = int(chance.integers(0, len(bank) - len(bits) + 1))
        np.add(bits, bank[place : place + len(bits)], out=moved)
        np.copyto(moved, bits, where=(moved ^ bits) < 0)
    return result


def _normals(size: int, deviation: float, chance: np.random.Generator) -> Values:
    """Return noise for a tensor of this size: as many numbers as it has, or a bank if it has many."""
    return chance.standard_normal(min(size, 2 * _BANK), dtype=np.float32) * np.float32(deviation)


def without_smallest(values: Values, share: float) -> Values:
    """Set the share of the weights with the least magnitude to zero."""
    count = round(share * values.size)
    pruned = values.copy()
    if count:
        # A half-precision number's bits without the sign are in the order of its magnitude, and faster to compare.
        size = values.view(np.uint16) & 0x7FFF if values.dtype == np.float16 else np.abs(values)
        smallest = np.argpartition(size, count - 1, axis=None)[:count]
        pruned.reshape(-1)[smallest] = 0
    return pruned


def without_some(values: Values, share: float, chance: np.random.Generator) -> Values:
    """Set the share of the weights to zero, whichever they are; of less than one weight, one with that probability."""
    pruned = values.copy()
    wanted = share * values.size
    count = round(wanted) if wanted >= 1 else int(chance.random() < wanted)
    pruned.reshape(-1)[chance.choice(values.size, count, replace=False, shuffle=False)] = 0
    return pruned
