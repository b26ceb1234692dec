"""A trained classifier as one of the server's models: its label distribution, spoken in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from streams.errors import SettingsError
from streams.sandbox.model_server.asked import asked_labels
from streams.sandbox.model_server.chance import CallChance
from streams.sandbox.model_server.classifiers import TextClassifier
from streams.sandbox.model_server.codes import codes
from streams.sandbox.model_server.described import BIG_SHARPNESS, CHEAP_SHARPNESS, described_classifier, stems
from streams.sandbox.model_server.features import words
from streams.sandbox.model_server.in_context import leaning
from streams.sandbox.model_server.ngram import NgramModel, text_tokens
from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest, RequestRefused
from streams.sandbox.model_server.served import BIG, CHEAP, DATE, DRIFT_SEED
from streams.sandbox.model_server.tokens import OutputLayer
from streams.sandbox.model_server.training import TrainedModels
from streams.sandbox.model_server.wire import EchoedToken, Spoken

#: Prompts for other labels come again and again; past this many different ones all are forgotten.
_REMEMBERED = 64


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModel:
    """One classifier behind an alias, and the drifted copies of it that were asked for.

    ``jitter`` is the noise of each logit from call to call in nats, drawn by ``chance``; ``language`` gives prompts their
    logprobs, and ``rarity`` says how rare a word is in messages.
    """

    alias: str
    classifier: TextClassifier
    output: OutputLayer
    language: NgramModel
    rarity: Mapping[str, float]
    chance: CallChance
    jitter: float = 0.0
    _drifted: dict[float, TrainedModel] = field(default_factory=dict)
    _speaking: dict[tuple[str, ...], TrainedModel] = field(default_factory=dict)
    _answering: dict[str, TrainedModel] = field(default_factory=dict)

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
                _answering={},
            )
        return self._drifted[sigma]

    def speaking(self, spoken: tuple[str, ...]) -> TrainedModel:
        """Return this model with other words for its labels, in their order; the same copy every time."""
        if spoken == self.classifier.labels:
            return self
        if spoken not in self._speaking:
            self._speaking[spoken] = replace(
                self, output=OutputLayer.of(spoken), _drifted={}, _speaking={}, _answering={}
            )
        return self._speaking[spoken]

    def _asked(self, system: str) -> TrainedModel:
        """Return the model for the labels that the instructions ask for, speaking the codes that they give.

        Without any, or with labels that it was trained on, it is this one.
        """
        asked = asked_labels(system)
        if len(asked) < 2 or {name for name, _ in asked} == set(self.classifier.labels):
            return self.speaking(codes(system, self.classifier.labels))
        if system not in self._answering:
            if len(self._answering) >= _REMEMBERED:
                self._answering.clear()
            self._answering[system] = self._for_labels(asked, codes(system, tuple(name for name, _ in asked)))
        return self._answering[system]

    def _for_labels(self, asked: tuple[tuple[str, str], ...], answers: tuple[str, ...]) -> TrainedModel:
        """Return a model for these labels; if it was not trained on all, it goes by their names and descriptions.

        Raises RequestRefused for labels that the server cannot speak.
        """
        names = [name for name, _ in asked]
        if set(names) <= set(self.classifier.labels):
            classifier = self.classifier.restricted(names)
        elif self.alias == BIG:
            classifier = described_classifier(asked, self.rarity, features=stems, sharpness=BIG_SHARPNESS)
        else:
            classifier = described_classifier(asked, self.rarity, features=words, sharpness=CHEAP_SHARPNESS)
        try:
            output = OutputLayer.of(answers)
        except SettingsError as error:
            raise RequestRefused(400, str(error), param="messages") from error
        return replace(self, classifier=classifier, output=output, _drifted={}, _speaking={}, _answering={})

    async def chat(self, request: ChatRequest) -> Spoken:
        """Classify the last user message, leaning to the answers of examples before it, and speak the label."""
        model = self._asked(request.system)
        labels = model.classifier.labels
        log_probs = model.classifier.predict_log_proba(request.text)
        if request.examples:
            meant = dict(zip(codes(request.system, labels), labels, strict=True))
            examples = [(text, meant.get(answer, answer)) for text, answer in request.examples]
            log_probs = leaning(log_probs, labels, request.text, examples, self.rarity)
        answer = model.output.answer(log_probs, request.decoding, self.chance.of(self.alias, request.text), self.jitter)
        prompt_tokens = sum(len(text_tokens(text)) for text in request.prompt)
        return Spoken(answer, prompt_tokens, len(answer.tokens))

    async def complete(self, prompt: str, request: CompletionRequest) -> Spoken:
        """Classify the prompt and speak the label, after the prompt's own tokens if an echo is asked for."""
        tokens = text_tokens(prompt)
        log_probs = self.classifier.predict_log_proba(prompt)
        answer = self.output.answer(log_probs, request.decoding, self.chance.of(self.alias, prompt), self.jitter)
        echoed = self._echo(tokens, request.logprobs) if request.echo else ()
        return Spoken(answer, len(tokens), len(answer.tokens), echoed=echoed)

    async def close(self) -> None:
        """There is nothing to let go of."""

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
    """Return the cheap and the big model of one training; their noise is seeded."""
    chance = CallChance(seed)
    return (
        TrainedModel(CHEAP, models.cheap, models.output, models.language, models.rarity, chance, jitter),
        TrainedModel(BIG, models.big, models.output, models.language, models.rarity, chance, jitter),
    )
