"""A trained classifier as one of the server's models: its label distribution, spoken in tokens."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from streams.sandbox.model_server.classifiers import TextClassifier
from streams.sandbox.model_server.codes import codes
from streams.sandbox.model_server.ngram import NgramModel, text_tokens
from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest
from streams.sandbox.model_server.served import BIG, CHEAP, DATE, DRIFT_SEED
from streams.sandbox.model_server.tokens import Answer, Decoding, OutputLayer
from streams.sandbox.model_server.training import TrainedModels
from streams.sandbox.model_server.wire import EchoedToken, Spoken


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """One classifier behind an alias, and the drifted copies of it that were asked for.

    ``jitter`` is the noise of each logit from call to call in nats; ``language`` gives prompts their logprobs.
    """

    alias: str
    classifier: TextClassifier
    output: OutputLayer
    language: NgramModel
    rng: np.random.Generator
    jitter: float = 0.0
    _drifted: dict[float, TrainedModel] = field(default_factory=dict)
    _speaking: dict[tuple[str, ...], TrainedModel] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The dated id that a body carries."""
        return f"{self.alias}-{DATE}"

    def drifted(self, sigma: float) -> TrainedModel:
        """Return this model with noise of ``sigma`` deviations in its weights; the same copy every time."""
        if sigma not in self._drifted:
            self._drifted[sigma] = replace(
                self,
                classifier=self.classifier.drifted(sigma, DRIFT_SEED),
                output=self.output.drifted(sigma, DRIFT_SEED),
                _drifted={},
                _speaking={},
            )
        return self._drifted[sigma]

    def speaking(self, words: tuple[str, ...]) -> TrainedModel:
        """Return this model with other words for its labels, in their order; the same copy every time."""
        if words == self.classifier.labels:
            return self
        if words not in self._speaking:
            self._speaking[words] = replace(self, output=OutputLayer.of(words), _drifted={}, _speaking={})
        return self._speaking[words]

    async def chat(self, request: ChatRequest) -> Spoken:
        """Classify the last user message and speak the label."""
        model = self.speaking(codes(request.system, self.classifier.labels))
        answer = model._answer(request.text, request.decoding)
        prompt_tokens = sum(len(text_tokens(text)) for text in request.prompt)
        return Spoken(answer, prompt_tokens, len(answer.tokens))

    async def complete(self, prompt: str, request: CompletionRequest) -> Spoken:
        """Classify the prompt and speak the label, after the prompt's own tokens where an echo is asked for."""
        tokens = text_tokens(prompt)
        answer = self._answer(prompt, request.decoding)
        echoed = self._echo(tokens, request.logprobs) if request.echo else ()
        return Spoken(answer, len(tokens), len(answer.tokens), echoed=echoed)

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _answer(self, text: str, decoding: Decoding) -> Answer:
        return self.output.answer(self.classifier.predict_log_proba(text), decoding, self.rng, self.jitter)

    def _echo(self, tokens: list[str], k: int | None) -> tuple[EchoedToken, ...]:
        if k is None:
            return tuple(EchoedToken(token, None, None) for token in tokens)
        echoed = [EchoedToken(token, None, None) for token in tokens[:1]]
        for position in range(1, len(tokens)):
            logprob = self.language.log_prob(tokens, position)
            top = self.language.likeliest(tokens, position, k) | {tokens[position]: logprob}
            echoed.append(EchoedToken(tokens[position], logprob, top))
        return tuple(echoed)


def trained_models(models: TrainedModels, *, seed: int = 0, jitter: float = 0.0) -> tuple[TrainedModel, TrainedModel]:
    """Return the cheap and the big model of one training; both draw from one seeded generator."""
    rng = np.random.default_rng(seed)
    return (
        TrainedModel(CHEAP, models.cheap, models.output, models.language, rng, jitter),
        TrainedModel(BIG, models.big, models.output, models.language, rng, jitter),
    )
