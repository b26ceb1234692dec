from __future__ import annotations

import pytest

from schemas.signal import Unscorable
from streams.core.signal import answer_part
from streams.core.signal import locate as locating
from streams.core.signal.labels import LabelSet
from streams.core.signal.locate import MAX_ANSWER, Located

LABELS = LabelSet(["refund", "billing", "card arrival"])


def locate(text: str, labels: LabelSet) -> Located | None:
    part = answer_part(text)
    return None if isinstance(part, Unscorable) else locating.locate(text, part, labels)


def could_become(text: str, labels: LabelSet) -> bool:
    part = answer_part(text)
    return not isinstance(part, Unscorable) and locating.could_become(text, part, labels)


@pytest.mark.parametrize(
    "text",
    [
        "refund",
        " Refund.",
        '\n"refund"\n',
        "**refund**",
        "Label: refund",
        "label = refund",
        "**Label:** refund",
        "The final answer is: refund",
        '{"label": "refund"}',
        '{"label":"Refund "}',
        '{ "why": "wants money, not billing", "label": "refund" }',
        '{"category": "refund", "score": 0.9}',
        '{"queue_name": "refund"}',
        '{"x": {"y": 1}, "z": "refund"}',
        '{"why": "money back", "queue_name": "refund"}',
        '{"summary": "The customer wants it back", "queue_name": "refund", "confidence": "high"}',
        '{"label": "refund"',
        '{"label": "refund", "why": "he wan',
        '[{"label": "refund"}]',
        '["refund"]',
        '```json\n{"label": "refund"}\n```',
        "```\nrefund\n```",
        "```text\nrefund",
        "<think>billing? no.</think>\n\nrefund",
        "billing? no.</think> refund",
        "<think>\n</think>```json\n{'x'}\n```".replace("{'x'}", '{"label": "refund"}'),
        "<|channel|>analysis<|message|>billing?<|end|><|start|>assistant<|channel|>final<|message|>refund<|return|>",
        "refund<|im_end|>",
        "<s> refund</s>",
        "refund<\uff5cend of sentence\uff5c>",
        "refund\n\nThe customer wants the money back.",
        "Label: refund\nbecause the item broke",
        "The label is refund.",
        "Predicted label: refund",
        "Label\uff1arefund",
        "- refund",
        "refund: the customer wants money",
        "refund (confidence: 0.95)",
        "refund\nConfidence: high",
        "Label: refund\nSentiment: negative",
        "<answer>refund</answer>\n\nThe customer wants money back.",
        "<label>refund</label>\n<explanation>The customer wants money back.</explanation>",
        "The final answer is $\\boxed{refund}$.",
        '{"result": {"label": "refund"}}',
        '{"labels": ["refund"]}',
        "refund\n\n---",
        "refund\n\nThe ticket asks where the money is?",
        "Refund\n\nExplanation: The user has not been refunded. They ask for their money.",
        "refund\nDer Kunde möchte sein Geld zurück.",
        "refund\n客户想要退款。",
    ],
)
def test_15_17_the_label_is_found_behind_what_models_put_around_it(text: str) -> None:
    found = locate(text, LABELS)
    assert found is not None
    assert found.label == "refund"
    assert text[found.start : found.end].lower() == "refund"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "refunds",
        "a refund",
        "refund or billing",
        "refund, billing",
        "refund\nbilling",
        "refund\n\nMessage: why was I charged?\nLabel: billing",
        "not: refund",
        "no label: refund",
        "<think>refund",
        "</think><think>refund",
        "<think>refund</think>",
        '{"label": "pizza", "note": "refund"}',
        '{"label": "refund", "label": "billing"}',
        '{"category": "refund", "class": "billing"}',
        '{"a": "refund", "b": "billing"}',
        '{"label": ["refund", "billing"]}',
        '{"label": [["refund"]]}',
        '{"result": {"label": "refund"}, "label": "billing"}',
        '{"result": {"label": "refund", "category": "billing"}}',
        '{"label": "refund"}?',
        "refund?",
        "- refund\n- billing",
        "refund: no",
        "refund (not sure)",
        "refund (confidence: 20%)",
        "refund\nConfidence: low",
        "The label is not refund",
        '{"label": null}',
        '{"label": "refu',
        '{"label" "refund"}',
        "label: nothing",
        "{label: refund}",
        "{" * 5000,
        "refund" + " " * MAX_ANSWER + "x",
        "__import__('os')",
    ],
    ids=lambda text: text[:30],
)
def test_any_other_answer_names_no_label(text: str) -> None:
    assert locate(text, LABELS) is None


def test_15_a_label_in_json_keeps_its_place() -> None:
    found = locate('{"n": "refund me", "label": "refund"}', LABELS)
    assert found is not None
    assert (found.start, found.end) == (29, 35)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ref",
        " Ca",
        "card ",
        '"bil',
        "Label:",
        "Label: re",
        "<think>hm</think>re",
        '{"label": "re',
        '{"la',
        "```json\n{",
        "{",
    ],
)
def test_a_cut_answer_could_become_a_label(text: str) -> None:
    assert could_become(text, LABELS)


@pytest.mark.parametrize(
    "text", ["x" * MAX_ANSWER + " ", "<|", "refunds", "The customer", '{"label": "pizza"}', "card arrivals", "x"]
)
def test_a_cut_answer_that_is_already_something_else(text: str) -> None:
    assert not could_become(text, LABELS)


@pytest.mark.parametrize(
    "comment",
    [
        "But that does not fit here at all.",
        "The ticket does not match any label given.",
        "That would be my second choice, to be honest.",
        "The other two are more likely, I think.",
        "This is a wild guess of mine here.",
        "The request is ambiguous and could fit several.",
        "The customer seems to want something I cannot identify.",
        "The customer is upset. On reflection it could be anything.",
        "Das war ein Fehler, ehrlich gesagt.",
        "Moment, ich muss noch einmal lesen.",
        "Der Kunde meint das vielleicht gar nicht so.",
        "Pardon, je me suis trompé de case.",
        "Me equivoqué de etiqueta, perdón.",
        "やっぱり違うかもしれません、すみません",
        "Na pewno nie o to chodzi klientowi tutaj.",
    ],
)
def test_an_answer_that_is_taken_back_or_cannot_be_checked_is_none(comment: str) -> None:
    assert locate(f"refund\n\n{comment}", LABELS) is None
