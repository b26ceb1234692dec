"""Two models behind two names, answering requests with bodies; knows nothing of HTTP."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from streams.sandbox.model.classifiers import TextClassifier
from streams.sandbox.model.ngram import NgramModel, text_tokens
from streams.sandbox.model.requests import ChatRequest, CompletionRequest, RequestRefused
from streams.sandbox.model.tokens import Answer, Decoding, OutputLayer
from streams.sandbox.model.training import TrainedModels
from streams.sandbox.model.wire import Body, EchoedToken, Envelope, chat_body, completion_body, completion_choice

CHEAP = "sandbox-cheap"
BIG = "sandbox-big"
ALIASES = (CHEAP, BIG)
"""The names under which the models are asked for; a body names the dated id instead."""

_DATE = "2026-08-01"
_DRIFT_SEED = 7


@dataclass(frozen=True, slots=True, eq=False)
class ServedModel:
    """One model behind an alias, and the drifted copies of it that were asked for."""

    alias: str
    classifier: TextClassifier
    output: OutputLayer
    _drifted: dict[float, ServedModel] = field(default_factory=dict)
    _spoken: dict[tuple[str, ...], ServedModel] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The dated id that a body carries."""
        return f"{self.alias}-{_DATE}"

    def drifted(self, sigma: float) -> ServedModel:
        """Return this model with noise of ``sigma`` deviations in its weights; the same copy every time."""
        if sigma not in self._drifted:
            self._drifted[sigma] = replace(
                self,
                classifier=self.classifier.drifted(sigma, _DRIFT_SEED),
                output=self.output.drifted(sigma, _DRIFT_SEED),
                _drifted={},
                _spoken={},
            )
        return self._drifted[sigma]

    def speaking(self, words: tuple[str, ...]) -> ServedModel:
        """Return this model with other words for its labels, in their order; the same copy every time."""
        if words == self.classifier.labels:
            return self
        if words not in self._spoken:
            self._spoken[words] = replace(self, output=OutputLayer.of(words), _drifted={}, _spoken={})
        return self._spoken[words]

    def answer(self, text: str, decoding: Decoding, rng: np.random.Generator, jitter: float) -> Answer:
        """Classify ``text`` and speak the label."""
        return self.output.answer(self.classifier.predict_log_proba(text), decoding, rng, jitter)


class ModelService:
    """Answers chat and completion requests; ``jitter`` is the run-to-run noise of each logit in nats."""

    def __init__(
        self, models: TrainedModels, *, seed: int = 0, jitter: float = 0.01, clock: Callable[[], float] = time.time
    ) -> None:
        served = (ServedModel(CHEAP, models.cheap, models.output), ServedModel(BIG, models.big, models.output))
        self.labels = models.labels
        self._by_name = {name: model for model in served for name in (model.alias, model.id)}
        self._language: NgramModel = models.language
        self._rng = np.random.default_rng(seed)
        self._jitter = jitter
        self._clock = clock
        self._answers = 0

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every name that a request may ask for: the aliases and the dated ids."""
        return tuple(self._by_name)

    def model(self, name: str) -> ServedModel:
        """Return the model of that alias or dated id. Raises RequestRefused (404) for any other name."""
        if name not in self._by_name:
            raise RequestRefused(404, f"The model '{name}' does not exist.", param="model", code="model_not_found")
        return self._by_name[name]

    def chat(self, request: ChatRequest, model: ServedModel) -> Body:
        """Answer a chat request."""
        model = model.speaking(codes(request.prompt[0], self.labels))
        answer = model.answer(request.text, request.decoding, self._rng, self._jitter)
        prompt_tokens = sum(len(text_tokens(text)) for text in request.prompt)
        return chat_body(
            self._envelope("chatcmpl", model), answer, logprobs=request.logprobs, prompt_tokens=prompt_tokens
        )

    def complete(self, request: CompletionRequest, model: ServedModel) -> Body:
        """Answer a legacy completion request, with the prompts' own logprobs where an echo is asked for."""
        choices: list[Body] = []
        prompt_tokens = completion_tokens = 0
        for index, prompt in enumerate(request.prompts):
            tokens = text_tokens(prompt)
            answer = model.answer(prompt, request.decoding, self._rng, self._jitter)
            echoed = self._echo(tokens, request.logprobs) if request.echo else ()
            choices.append(
                completion_choice(
                    index,
                    echoed,
                    answer,
                    start=0 if request.echo else len(prompt),
                    logprobs=request.logprobs is not None,
                )
            )
            prompt_tokens += len(tokens)
            completion_tokens += len(answer.tokens)
        return completion_body(
            self._envelope("cmpl", model), choices, prompt_tokens=prompt_tokens, completion_tokens=completion_tokens
        )

    def _echo(self, tokens: list[str], k: int | None) -> tuple[EchoedToken, ...]:
        if k is None:
            return tuple(EchoedToken(token, None, None) for token in tokens)
        echoed = [EchoedToken(token, None, None) for token in tokens[:1]]
        for position in range(1, len(tokens)):
            logprob = self._language.log_prob(tokens, position)
            top = self._language.likeliest(tokens, position, k) | {tokens[position]: logprob}
            echoed.append(EchoedToken(tokens[position], logprob, top))
        return tuple(echoed)

    def _envelope(self, prefix: str, model: ServedModel) -> Envelope:
        self._answers += 1
        return Envelope(f"{prefix}-{self._answers:012d}", int(self._clock()), model.id)


@lru_cache(maxsize=64)
def codes(instructions: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the code that the instructions give each label ("A = refund"), or the labels where they give none."""
    found = [re.search(rf"(?<!\w)([A-Z]{{1,2}}) = {re.escape(label)}(?=[,.])", instructions) for label in labels]
    return tuple(match[1] for match in found if match) if all(found) else labels
