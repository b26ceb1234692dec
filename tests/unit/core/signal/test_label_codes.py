"""Labels that begin one another are answered as codes, from the prompt through the sandbox model to the label."""

from __future__ import annotations

from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.sandbox.model_server.codes import codes


def test_the_sandbox_model_reads_the_codes_that_the_prompt_gives() -> None:
    labels = LabelSet.aliased(("order", "order status", "a.b, (c)"))
    prompt = Prompt(labels.labels, labels.answers)
    assert codes(prompt.system, labels.labels) == ("A", "B", "C")
    assert labels.match("B") == "order status"


def test_without_codes_the_labels_themselves_are_the_answers() -> None:
    labels = ("refund", "shipping")
    assert codes(Prompt(labels).system, labels) == labels
    assert Prompt(labels, labels).system == Prompt(labels).system


def test_codes_make_another_prompt() -> None:
    labels = LabelSet.aliased(("refund", "shipping"))
    assert Prompt(labels.labels, labels.answers).hash != Prompt(labels.labels).hash
