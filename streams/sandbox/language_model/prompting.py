"""How a model is asked for a label: instructions and examples first, then the ticket. Pure.

Everything before the ticket is the same for every ticket, so the model reads it once and keeps it. A prompt is a row of
parts: texts, and control tokens, which no text can spell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A message and the label that it should get."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Control:
    """A control token, by its name."""

    name: str


Part = str | Control


class Form(Protocol):
    """The form in which one kind of model is asked. It goes on with the label and ends its line, or its turn."""

    def prefix(self, system: str, examples: Sequence[LabelledText]) -> Sequence[Part]:
        """Return what stands before every ticket: the caller's instructions, then the examples."""

    def asked(self, examples: Sequence[LabelledText], text: str) -> Sequence[Part]:
        """Return the caller's own examples, if there are any, and the ticket."""


@dataclass(frozen=True, slots=True)
class Lines:
    """For a base model: a message on one line, and below it "Label:", which the model goes on with."""

    begin: Control = Control("<bos>")

    def prefix(self, system: str, examples: Sequence[LabelledText]) -> Sequence[Part]:
        """Return instructions and examples as lines."""
        return self.begin, prefix(system, examples)

    def asked(self, examples: Sequence[LabelledText], text: str) -> Sequence[Part]:
        """Return examples and the ticket as lines."""
        return (answered(examples) + question(text),)


@dataclass(frozen=True, slots=True)
class ChatML:
    """For a model that was tuned on chats in ChatML: each message between two control tokens."""

    default_system: str = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    """What SmolLM2's own template says if the caller gives no instructions."""

    def prefix(self, system: str, examples: Sequence[LabelledText]) -> Sequence[Part]:
        """Return the system message, and each example as a message and its answer."""
        return *_turn("system", system.strip() or self.default_system), *_answers(examples)

    def asked(self, examples: Sequence[LabelledText], text: str) -> Sequence[Part]:
        """Return examples and the ticket as messages, and the beginning of the answer."""
        return *_answers(examples), *_turn("user", text.strip()), _START, "assistant\n"


_START, _END = Control("<|im_start|>"), Control("<|im_end|>")


def _turn(role: str, text: str) -> Sequence[Part]:
    return _START, f"{role}\n{text}", _END, "\n"


def _answers(examples: Sequence[LabelledText]) -> Iterator[Part]:
    for example in examples:
        yield from _turn("user", example.text.strip())
        yield from _turn("assistant", example.label)


def prefix(system: str, examples: Sequence[LabelledText]) -> str:
    """Return instructions and examples as lines."""
    return f"{system.strip()}\n\n{answered(examples)}" if system.strip() else answered(examples)


def answered(examples: Sequence[LabelledText]) -> str:
    """Return messages with their answers as lines, one after the other."""
    return "".join(f"{question(example.text)} {example.label}\n\n" for example in examples)


def question(text: str) -> str:
    """Return one message on one line and the beginning of its answer, which the model goes on with."""
    return f"{' '.join(text.split())}\nLabel:"
