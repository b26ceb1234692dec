"""How a base model is asked for a label: instructions and examples first, then the ticket, then "Label:". Pure.

Everything before the ticket is the same for every ticket, so the model reads it once and keeps it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """A message and the label that it should get."""

    text: str
    label: str


def prefix(system: str, examples: Sequence[Example]) -> str:
    """Return what stands before every ticket: the caller's instructions, then the examples."""
    return f"{system.strip()}\n\n{answered(examples)}" if system.strip() else answered(examples)


def answered(examples: Sequence[Example]) -> str:
    """Return messages with their answers, one after the other."""
    return "".join(f"{question(example.text)} {example.label}\n\n" for example in examples)


def question(text: str) -> str:
    """Return one message on one line and the beginning of its answer, which the model goes on with."""
    return f"{' '.join(text.split())}\nLabel:"
