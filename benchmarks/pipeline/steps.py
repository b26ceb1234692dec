"""What the programs beside Hedgerow do with one message: the same calls, readings, decisions and messages, nothing more.

There are no retries, guards or metrics here, as nobody writes them at the first go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self

import httpx
import httpx_aiohttp

from benchmarks.unguarded import check, escalates, never_stale, score_handler
from schemas import Attempt, Call, Classification, Escalation, Message, Review, Ticket, Tier, Turn
from streams.agents.arrival import Arrival
from streams.agents.classify import ClassifyHandler
from streams.agents.escalate import EscalateHandler
from streams.agents.model import Asked
from streams.core.signal.instructions import Prompt
from streams.core.signal.score import score
from streams.models.prices import cost_of
from streams.reviews.store import ReviewStore
from streams.settings import Settings

#: A message of one topic to the messages that follow from it.
Step = Callable[[Any], Awaitable[Sequence[Message]]]


class Steps:
    """The four stages as plain functions. An async context manager, for the HTTP connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._labels = settings.label_set
        self._prompt = Prompt(self._labels.labels, self._labels.answers)
        concurrency = 2 * settings.worker.in_flight  # for both tiers
        self._http = httpx.AsyncClient(
            transport=httpx_aiohttp.AiohttpTransport(
                limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
            ),
            timeout=settings.tiers.cheap.timeout_s,
        )
        self._store = ReviewStore(settings.review.url, labels=settings.labels)
        label_count = len(settings.labels)
        self._classify = ClassifyHandler(self._ask_cheap, escalates, settings.policy, label_count)
        self._score = score_handler(settings.policy, label_count)
        self._escalate = EscalateHandler(self._ask_big, settings.policy, label_count, check=check, stale=never_stale)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()
        self._store.close()

    async def classify(self, ticket: Ticket) -> Sequence[Message]:
        """Ask the cheap model."""
        return await self._classify(Arrival(ticket, Turn()))

    async def score(self, message: Classification) -> Sequence[Message]:
        """Decide on its answer."""
        return self._score(message)

    def decide(self, message: Classification) -> Sequence[Message]:
        """Decide on its answer, for programs without an event loop."""
        return self._score(message)

    async def escalate(self, message: Escalation) -> Sequence[Message]:
        """Ask the big model, and decide."""
        return await self._escalate(message)

    async def review(self, message: Review) -> Sequence[Message]:
        """Store a doubt, in a thread: it is on the disk afterwards."""
        await asyncio.to_thread(self._store.add, message)
        return ()

    async def _ask_cheap(self, ticket: Ticket, _cheap: Call | None = None) -> Asked:
        return Asked(await self._ask("cheap", ticket.text))

    async def _ask_big(self, ticket: Ticket, _cheap: Call | None) -> Asked:
        return Asked(await self._ask("big", ticket.text))

    async def _ask(self, tier: Tier, text: str) -> Call:
        endpoint = self._settings.tiers.of(tier)
        body = {
            "model": endpoint.model,
            "messages": self._prompt.messages(text),
            "logprobs": True,
            "top_logprobs": endpoint.top_logprobs,
            "temperature": endpoint.temperature,
            "top_p": endpoint.top_p,
            "max_tokens": endpoint.max_tokens,
        }
        at_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
        response = await self._http.post(f"{endpoint.base_url}/chat/completions", json=body)
        response.raise_for_status()
        latency_ms = (time.perf_counter() - began) * 1000
        reading = score(response.content, self._labels)
        prompt_tokens, completion_tokens = reading.prompt_tokens or 0, reading.completion_tokens or 0
        attempt = Attempt(
            outcome="ok",
            at_ms=at_ms,
            latency_ms=latency_ms,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=cost_of(endpoint.price, prompt_tokens, completion_tokens),
        )
        return Call(
            tier=tier,
            model_asked=endpoint.model,
            model_returned=reading.model,
            fingerprint=reading.fingerprint,
            prompt_hash=self._prompt.hash,
            answer=reading.text,
            signal=reading.signal,
            attempts=(attempt,),
        )
