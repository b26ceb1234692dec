"""The language model as one of the server's models: labels by generation, texts scored token by token."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

import numpy as np

from streams.sandbox.language_model.distribution import LogProbs, choose, likeliest
from streams.sandbox.language_model.engine import Engine, Logits
from streams.sandbox.language_model.examples import choose_examples
from streams.sandbox.language_model.kinds import GEMMA, KINDS, Kind
from streams.sandbox.language_model.prompting import LabelledText
from streams.sandbox.language_model.reader import CONTEXT, Place, Reader, check_room
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.requests import ChatRequest, CompletionRequest
from streams.sandbox.model_server.served import CHEAP, DATE, DRIFT_SEED
from streams.sandbox.model_server.tokens import Answer, Decoding, GeneratedToken
from streams.sandbox.model_server.training import TrainingSet
from streams.sandbox.model_server.wire import EchoedToken, Spoken, by_text

_T = TypeVar("_T")
_NEWLINE = b"\n"


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A language model as the cheap tier: it goes on from examples and so names a label.

    A chat's system messages and the examples stand before the last user message and stay in the cache. If the chat has
    answered messages, these are the examples, and nothing but the system messages is kept. The answer ends with its
    line, or with the model's turn. A legacy completion is a plain text to go on with, without examples.
    Requests are served one after the other on a separate thread, so that the event loop stays free.
    """

    kind: Kind
    reader: Reader
    rng: np.random.Generator
    jitter: float = 0.0
    """Deviation of each logit from call to call, nats; at 0 the same request has the same answer."""
    sigma: float = 0.0
    """Lasting noise in the logits, in their own standard deviations: the drift."""
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "language-model"))

    alias = CHEAP

    @property
    def id(self) -> str:
        """The dated id that a body carries."""
        return f"{CHEAP}-{DATE}-{self.kind.name}"

    @classmethod
    def load(cls, name: str, rows: TrainingSet, *, seed: int = 0, jitter: float = 0.0) -> Self:
        """Load the weights of the kind with this name and choose the examples from the training rows.

        Raises SandboxError if its packages are missing or the model cannot be loaded. Blocks.
        """
        kind = KINDS[name]
        engine = Engine(kind.weights(), begin=kind.begin)
        return cls.of(engine, choose_examples(rows), kind=kind, seed=seed, jitter=jitter)

    @classmethod
    def of(
        cls, engine: Engine, examples: Sequence[LabelledText], *, kind: Kind = GEMMA, seed: int = 0, jitter: float = 0.0
    ) -> Self:
        """Return the model with these examples; it owns the engine."""
        return cls(kind, Reader(engine, examples, kind.form), np.random.default_rng(seed), jitter)

    def drifted(self, sigma: float) -> LanguageModel:
        """Return this model with lasting noise in its logits; the same noise every time."""
        return replace(self, sigma=sigma)

    async def chat(self, request: ChatRequest) -> Spoken:
        """Answer with the label's tokens, generated until the end of the line."""
        return await self._alone(lambda: self._chat(request))

    async def complete(self, prompt: str, request: CompletionRequest) -> Spoken:
        """Go on with the prompt, and give its own tokens' logprobs if an echo is asked for."""
        return await self._alone(lambda: self._complete(prompt, request))

    async def close(self) -> None:
        """Finish the request in progress and free the model."""
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self.reader.engine.close()

    async def _alone(self, work: Callable[[], _T]) -> _T:
        # The executor has one thread; a caller that goes away while it waits is never served.
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _chat(self, request: ChatRequest) -> Spoken:
        engine = self.reader.engine
        examples = [LabelledText(text, answer) for text, answer in request.examples]
        asked = self.reader.tokens(self.reader.form.asked(examples, request.text))
        system = len(engine.tokens(request.system.strip()))
        with self.reader.after_prefix(request.system, own=not examples) as place:
            check_room(place.start + len(asked))
            logits = engine.read(asked, place.sequence, place.start)
            after = Place(place.sequence, place.start + len(asked))
            answer, written = self._generate(logits, after, request.decoding, one_line=True)
            return Spoken(answer, system + len(asked), written, cached_tokens=system if place.cached else 0)

    def _complete(self, prompt: str, request: CompletionRequest) -> Spoken:
        engine = self.reader.engine
        tokens = engine.tokens(prompt)
        check_room(1 + len(tokens))
        read = [engine.begin, *tokens]
        with self.reader.at_start() as place:
            if request.echo and request.logprobs is not None:
                rows = engine.read_every(read, place.sequence, place.start)
                echoed, logits = self._echo(tokens, rows, request.logprobs)
            else:
                echoed = tuple(EchoedToken(self._text(token), None, None) for token in tokens if request.echo)
                logits = engine.read(read, place.sequence, place.start)
            after = Place(place.sequence, len(read))
            answer, written = self._generate(logits, after, request.decoding, one_line=False)
        return Spoken(answer, len(tokens), written, echoed=echoed)

    def _echo(self, tokens: Sequence[int], rows: Iterator[Logits], k: int) -> tuple[tuple[EchoedToken, ...], Logits]:
        """Return the prompt's tokens with their logprobs, the first without, and the logits after the last of them."""
        echoed = []
        logits = next(rows)
        for place, token in enumerate(tokens):
            text = self._text(token)
            if place:
                log_probs = log_softmax(self._noisy(logits))
                own = float(log_probs[token])
                echoed.append(EchoedToken(text, own, by_text(self._listed(log_probs, k)) | {text: own}))
            else:
                echoed.append(EchoedToken(text, None, None))
            logits = next(rows)
        return tuple(echoed), logits

    def _generate(self, logits: Logits, place: Place, decoding: Decoding, *, one_line: bool) -> tuple[Answer, int]:
        """Write tokens after ``place``; return them, and how many were written with the one that ended the answer."""
        engine = self.reader.engine
        chance = self.rng if decoding.seed is None else np.random.default_rng(decoding.seed % 2**64)
        tokens: list[GeneratedToken] = []
        while len(tokens) < min(decoding.max_tokens, CONTEXT - place.start):
            log_probs = log_softmax(self._noisy(logits))
            token = choose(log_probs, decoding.temperature, chance)
            ended = one_line and _NEWLINE in engine.piece(token)
            if engine.ends(token) or (ended and engine.piece(token).startswith(_NEWLINE)):
                return Answer(tuple(tokens), cut=False), len(tokens) + 1
            top = tuple(self._listed(log_probs, decoding.top))
            tokens.append(GeneratedToken(self._text(token), float(log_probs[token]), top))
            if ended:
                return Answer(tuple(tokens), cut=False), len(tokens)
            if len(tokens) < decoding.max_tokens:
                logits = engine.read([token], place.sequence, place.start + len(tokens) - 1)
        return Answer(tuple(tokens), cut=True), len(tokens)

    def _listed(self, log_probs: LogProbs, k: int) -> list[tuple[str, float]]:
        return [(self._text(token), float(log_probs[token])) for token in likeliest(log_probs, k)]

    def _noisy(self, logits: Logits) -> Logits:
        if self.sigma > 0.0:
            lasting = np.random.default_rng(DRIFT_SEED).standard_normal(len(logits), dtype=np.float32)
            logits = logits + lasting * np.float32(self.sigma * logits.std())
        if self.jitter > 0.0:
            logits = logits + self.rng.standard_normal(len(logits), dtype=np.float32) * np.float32(self.jitter)
        return logits

    def _text(self, token: int) -> str:
        return self.reader.engine.piece(token).decode("utf-8", "surrogateescape")
