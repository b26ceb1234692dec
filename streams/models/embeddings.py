"""Asks an OpenAI-compatible endpoint for embeddings, and holds every answer against what was agreed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Annotated, ClassVar, Self

import httpx
import numpy as np
import orjson
from pydantic import Field

from schemas import MAX_DIMENSIONS, MAX_NAME, Attempt, Reason
from streams.core.memory.index import Vectors
from streams.errors import StopWorker, TryAgain
from streams.models.endpoint import HttpEndpoint
from streams.models.http import Exchange, Unanswered
from streams.models.prices import cost_of

PATH = "/embeddings"


#: Takes the attempts of a request, and what one whose answer was lost costs, as an estimate in USD.
Spent = Callable[[Sequence[Attempt], float], None]
#: Until an endpoint has said how many tokens a text has: four characters each, as in English.
_TOKENS_PER_CHAR = 0.25


def nobody_counts(_attempts: Sequence[Attempt], _estimate_usd: float) -> None:
    """Count nothing."""


class EmbeddingEndpoint(HttpEndpoint):
    """An endpoint for embeddings."""

    ours: ClassVar[frozenset[str]] = frozenset({"model", "input", "encoding_format"})

    returned_model: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The id that every answer must name, if it names one; default: ``model``."""
    dimensions: Annotated[int, Field(ge=1, le=MAX_DIMENSIONS)] | None = None
    """The length that every vector must have; default: that of the first one."""
    prefix: Annotated[str, Field(max_length=50)] = ""
    """What the model wants before every text, such as "query: "."""
    max_chars: Annotated[int, Field(ge=1, le=100_000)] = 2_000
    """What is sent of a text: its beginning, of at most this many characters."""
    batch: Annotated[int, Field(ge=1, le=2_048)] = 64
    """Texts in one request."""
    timeout_s: Annotated[float, Field(gt=0, le=600)] = 10.0
    """For one attempt."""
    deadline_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    """For all attempts together, waits included."""
    concurrency: Annotated[int, Field(ge=1, le=2000)] = 8
    """Requests in flight at once, and the size of the connection pool."""

    @property
    def id(self) -> str:
        """The id that its vectors are kept under: with another prefix or other request fields they are others."""
        fields = (f"{name}={orjson.dumps(value).decode()}" for name, value in sorted(self.extra.items()))
        return " ".join(filter(None, (self.model, self.prefix.strip(), *fields)))[:MAX_NAME]


class EmbeddingClient:
    """The embedder behind an endpoint. An async context manager.

    ``spent`` is called with every attempt, paid or failed, and what one of them costs that is paid without an answer, as an
    estimate (USD, 0 without a price). An answer of another model, or with vectors of another length,
    is no answer: similarities to the vectors that are there would mean nothing.
    """

    def __init__(
        self,
        endpoint: EmbeddingEndpoint,
        *,
        spent: Spent = nobody_counts,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.model = endpoint.id
        self.dimensions: int | None = endpoint.dimensions
        self._endpoint = endpoint
        self._spent = spent
        self._tokens_per_char = _TOKENS_PER_CHAR
        self._exchange = Exchange(endpoint, name="the embedding endpoint", transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return a vector of length one for each text, in their order; zeros for one that the endpoint refuses.

        Raises TryAgain without an answer that can be read; StopWorker for a key or a model that the endpoint does not
        know, and for an answer of another model or with vectors of another length.
        """
        step = self._endpoint.batch
        steps = [texts[start : start + step] for start in range(0, len(texts), step)]
        found = await asyncio.gather(*map(self._some, steps))
        return np.concatenate(found) if found else np.empty((0, self.dimensions or 0), dtype=np.float32)

    async def _some(self, texts: Sequence[str]) -> Vectors:
        sent = [self._readable(text) for text in texts]
        chars = sum(map(len, sent))
        body = orjson.dumps(
            {"model": self._endpoint.model, "input": sent, "encoding_format": "float", **self._endpoint.extra}
        )
        answered = await self._exchange.send(PATH, body)
        price, guess = self._endpoint.price, math.ceil(chars * self._tokens_per_char)
        estimate_usd = cost_of(price, guess, 0) or 0.0
        if isinstance(answered, Unanswered):
            self._spent(answered.failed, estimate_usd)
            return await self._refused(answered, texts)
        try:
            vectors, tokens = self._read(answered.content, len(texts))
        except (TryAgain, StopWorker):
            garbage = answered.attempt("unscorable", 0, 0, cost_of(price, 0, 0), estimated=True)
            self._spent((*answered.failed, garbage), estimate_usd)
            raise
        if tokens:
            self._tokens_per_char = tokens / chars
        cost = cost_of(price, tokens or guess, 0)
        self._spent(
            (*answered.failed, answered.attempt("ok", tokens or guess, 0, cost, estimated=not tokens)), estimate_usd
        )
        return vectors

    async def _refused(self, unanswered: Unanswered, texts: Sequence[str]) -> Vectors:
        """Find out which of the texts it is that the endpoint does not take."""
        if unanswered.reason is Reason.NO_ANSWER:
            raise TryAgain(unanswered.detail)
        if len(texts) == 1:
            if self.dimensions is None:
                raise TryAgain(f"the embedding endpoint refuses: {unanswered.detail}")
            return np.zeros((1, self.dimensions), dtype=np.float32)
        half = len(texts) // 2
        return np.concatenate([await self._some(texts[:half]), await self._some(texts[half:])])

    def _readable(self, text: str) -> str:
        """Return what is sent of a text; several servers refuse an empty one, and JSON holds no half of a character."""
        text = text[: self._endpoint.max_chars].encode("utf-8", "replace").decode()
        return self._endpoint.prefix + (text if text.strip() else "-")

    def _read(self, content: bytes, count: int) -> tuple[Vectors, int]:
        """Return the vectors of a body, and how many tokens it says that the texts have; 0 if it does not."""
        try:
            body = orjson.loads(content)
            rows = sorted(body["data"], key=lambda row: row["index"])
            with np.errstate(over="ignore"):  # an infinity is found below
                vectors: Vectors = np.array([row["embedding"] for row in rows], dtype=np.float32)
            tokens = int((body.get("usage") or {}).get("prompt_tokens") or 0)
            model = body.get("model")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError, OverflowError):
            raise TryAgain("the embedding endpoint's answer holds no embeddings") from None
        self._check_model(model)
        if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
            raise TryAgain(f"the embedding endpoint's answer holds no {count} vectors of one length")
        self._check_dimensions(vectors.shape[1])
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not (np.isfinite(lengths).all() and lengths.all()):
            raise TryAgain("the embedding endpoint's answer holds a vector without a length")
        return vectors / lengths, max(0, tokens)

    def _check_model(self, model: object) -> None:
        agreed = self._endpoint.returned_model or self._endpoint.model
        if model is not None and model != agreed:
            raise StopWorker(
                f"the embedding endpoint answers as {str(model)[:100]!r}, not as {agreed!r}: vectors of another model "
                "cannot be compared; set returned_model if it is the same one, or another model and load the memory again"
            )

    def _check_dimensions(self, found: int) -> None:
        if self.dimensions is None:
            self.dimensions = found
        elif found != self.dimensions:
            raise StopWorker(
                f"the embedding endpoint's vectors of {self.model} have {found} dimensions, not {self.dimensions}: they "
                "are another model's, and cannot be compared"
            )
