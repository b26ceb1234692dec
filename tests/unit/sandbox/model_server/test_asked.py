"""The sandbox's models read which labels Hedgerow's prompt asks for."""

from __future__ import annotations

import pytest

from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.sandbox.model_server.asked import asked_labels


@pytest.mark.parametrize("aliased", [False, True])
@pytest.mark.parametrize(
    "labels",
    [
        {"refund": "", "shipping": ""},
        {"refund": "Wants money back: all, or a part.", "shipping": ""},
        {"late, or lost": "A parcel.", "feature request": "An idea.", "a.b (c): d": "x", "Ünït_1": "- refund: no"},
    ],
)
def test_what_a_prompt_asks_for_is_read_back(labels: dict[str, str], *, aliased: bool) -> None:
    names = tuple(labels)
    answers = LabelSet.aliased(names).answers if aliased else ()
    prompt = Prompt(names, answers, descriptions=tuple(labels.values()), instructions="Be strict: refund, if unsure.")
    assert dict(asked_labels(prompt.system)) == labels
    assert tuple(name for name, _ in asked_labels(prompt.system)) == names


@pytest.mark.parametrize("text", ["", "You are helpful.", "Choose one of these labels: a, b."])
def test_other_instructions_ask_for_no_labels(text: str) -> None:
    assert asked_labels(text) == ()
