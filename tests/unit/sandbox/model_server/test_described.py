"""Labels that the sandbox's models have never seen a message of are told apart by their words."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest

from schemas import Scored, Signal
from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from streams.sandbox.model_server.described import described_classifier, stems
from streams.sandbox.model_server.features import words
from streams.sandbox.model_server.requests import ChatRequest
from streams.sandbox.model_server.service import ModelService
from streams.sandbox.model_server.trained import trained_models
from streams.sandbox.model_server.training import TrainedModels

RARITY = {"a": 1.0, "my": 1.0, "is": 1.0, "copy": 4.0, "order": 3.0}
LABELS = (("invoices", "Wants a copy of an invoice."), ("outages", "The service is down."), ("feature_request", ""))


def probabilities(text: str, *, cheap: bool = False) -> dict[str, float]:
    model = described_classifier(LABELS, RARITY, features=words if cheap else stems, sharpness=5.0)
    return dict(zip(model.labels, np.exp(model.predict_log_proba(text)).tolist(), strict=True))


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("My invoice is wrong", "invoices"),
        ("I was invoiced twice", "invoices"),
        ("It went down", "outages"),
        ("A feature, please", "feature_request"),
    ],
)
def test_a_word_of_one_label_makes_that_label_likely(text: str, label: str) -> None:
    assert probabilities(text)[label] > 0.8


@pytest.mark.parametrize("text", ["", "Hello?", "my is", "!!!"])
def test_a_message_without_their_words_is_flat(text: str) -> None:
    assert list(probabilities(text).values()) == pytest.approx([1 / 3] * 3)


def test_words_of_two_labels_leave_it_open_between_them() -> None:
    found = probabilities("The outage came with an invoice")
    assert found["invoices"] == pytest.approx(found["outages"], abs=0.1)
    assert found["feature_request"] < 0.1


def test_the_cheap_model_knows_no_other_endings() -> None:
    assert probabilities("I was invoiced twice", cheap=True)["invoices"] == pytest.approx(1 / 3)


def test_labels_without_a_word_are_flat() -> None:
    model = described_classifier((("+", ""), ("-", "")), {}, features=words, sharpness=5.0)
    assert model.predict_log_proba("+ or -").tolist() == pytest.approx([math.log(0.5)] * 2)


@pytest.fixture(scope="module")
def service(trained: TrainedModels) -> ModelService:
    return ModelService(trained_models(trained), trained.labels)


class TestServer:
    async def ask(self, service: ModelService, prompt: Prompt, labels: LabelSet, text: str, model: str) -> Signal:
        body = {"model": model, "messages": list(prompt.messages(text)), "logprobs": True, "top_logprobs": 20}
        request = ChatRequest.parse({**body, "temperature": 0})
        return score(orjson.dumps(await service.chat(request, service.model(model))), labels).signal

    @pytest.mark.parametrize("model", ["sandbox-cheap", "sandbox-big"])
    @pytest.mark.parametrize("aliased", [False, True])
    async def test_answers_own_labels_with_logprobs_that_say_how_sure_it_is(
        self, service: ModelService, model: str, *, aliased: bool
    ) -> None:
        names = [name for name, _ in LABELS]
        labels = LabelSet.aliased(names) if aliased else LabelSet(names)
        prompt = Prompt(labels.labels, labels.answers, descriptions=tuple(words for _, words in LABELS))
        clear = await self.ask(service, prompt, labels, "Please send a copy of the invoice", model)
        unclear = await self.ask(service, prompt, labels, "Hmm?", model)
        assert isinstance(clear, Scored)
        assert isinstance(unclear, Scored)
        assert clear.label == "invoices"
        assert clear.confidence > 0.8
        assert unclear.confidence < 0.5

    async def test_some_of_its_labels_are_answered_as_it_was_trained(self, service: ModelService) -> None:
        labels = LabelSet(["shipping", "refund"])
        text = "My parcel has not come"
        signal = await self.ask(service, Prompt(labels.labels), labels, text, "sandbox-big")
        assert isinstance(signal, Scored)
        assert (signal.label, signal.confidence > 0.8) == ("shipping", True)

    async def test_all_of_its_labels_in_another_order_are_answered_the_same(self, service: ModelService) -> None:
        for names in (service.labels, service.labels[::-1]):
            labels = LabelSet(names)
            signal = await self.ask(service, Prompt(labels.labels), labels, "I want my money back", "sandbox-big")
            assert isinstance(signal, Scored)
            assert signal.label == "refund"
