"""Asks one endpoint about tickets: bounded, patient within limits, and every attempt on record."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self

import aiohttp
import httpx
import httpx_aiohttp
import orjson
import stamina

from schemas import Attempt, Call, Reason, Tier, Unscorable
from streams.core.labels import LabelSet
from streams.core.prompt import Prompt
from streams.core.score import Reading, score
from streams.models.endpoint import Endpoint
from streams.models.failures import Passing, Refusal, judge

_MAX_ANSWER = 1_000
_CONNECT_TIMEOUT_S = 10.0
#: A key that is shorter is a word that servers without keys are given, such as "none": no secret, and maybe a label.
_SHORTEST_KEY = 16
#: Above this a provider's wish to be left alone is not waited for; the deadline ends the call first anyway.
_LONGEST_PAUSE_S = 60.0


class ModelClient:
    """One tier's endpoint. An async context manager; ``ask`` never raises but StopWorker and cancellation.

    httpx on the aiohttp transport: httpx's own spends some 8 ms of CPU a call with 64 calls in flight, this one half
    a millisecond. The semaphore is as large as the pool, so that no time-out is spent waiting for a connection.
    """

    def __init__(
        self, tier: Tier, endpoint: Endpoint, labels: LabelSet, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.tier = tier
        self.endpoint = endpoint
        self._labels = labels
        self._prompt = Prompt(labels.labels, labels.answers)
        self._price = endpoint.price
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        key = endpoint.api_key()
        self._secret = None if key is None else key.get_secret_value()
        limits = httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
        self._http = httpx.AsyncClient(
            transport=transport or httpx_aiohttp.AiohttpTransport(limits=limits),
            headers={"content-type": "application/json"}
            | ({"authorization": f"Bearer {self._secret}"} if self._secret else {}),
            timeout=httpx.Timeout(endpoint.timeout_s, connect=min(_CONNECT_TIMEOUT_S, endpoint.timeout_s)),
        )
        self._url = f"{endpoint.base_url.rstrip('/')}/chat/completions"

    @property
    def prompt_hash(self) -> str:
        """Of the instructions and labels."""
        return self._prompt.hash

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def ask(self, text: str) -> Call:
        """Ask about one ticket's text and return the call, with every attempt, whatever came of it.

        A failure that does not pass within the attempts and the deadline is a call without an answer: the policy knows
        what to do with those. Raises StopWorker for a key or a model that the endpoint does not know.
        """
        attempts: list[Attempt] = []
        body = self._body(text)
        try:
            async with asyncio.timeout(self.endpoint.deadline_s):
                async for attempt in stamina.retry_context(
                    on=_pause_after,
                    attempts=self.endpoint.attempts,
                    timeout=None,
                    wait_initial=0.2,
                    wait_max=10.0,
                    wait_jitter=0.2,
                ):
                    with attempt:
                        return await self._attempt(body, attempts)
        except TimeoutError:
            return self._unanswered(attempts, Reason.NO_ANSWER, f"no answer within {self.endpoint.deadline_s:g} s")
        except Passing as last:
            return self._unanswered(attempts, Reason.NO_ANSWER, str(last))
        raise AssertionError("stamina ends in a return or an error")

    def _body(self, text: str) -> bytes:
        endpoint = self.endpoint
        return orjson.dumps(
            {
                "model": endpoint.model,
                "messages": self._prompt.messages(text),
                "logprobs": True,
                "top_logprobs": endpoint.top_logprobs,
                "temperature": endpoint.temperature,
                "top_p": endpoint.top_p,
                endpoint.max_tokens_field: endpoint.max_tokens,
                **endpoint.extra,
            }
        )

    async def _attempt(self, body: bytes, attempts: list[Attempt]) -> Call:
        async with self._slots:
            at_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
            try:
                response = await self._post(body)
                refusal = None if response.is_success else judge(response, self._secret)
            except Passing as error:
                attempts.append(_failed(error.outcome, at_ms, began))
                raise
            except asyncio.CancelledError:
                # Seen only where the deadline cancels: then the call is returned and the attempt with it.
                attempts.append(_failed("deadline", at_ms, began))
                raise
        if isinstance(refusal, Refusal):
            attempts.append(_failed(refusal.outcome, at_ms, began))
            return self._unanswered(attempts, refusal.reason, refusal.detail)
        reading = score(self._without_key(response.content), self._labels)
        attempts.append(self._answered(reading, at_ms, began))
        return Call(
            tier=self.tier,
            model_asked=self.endpoint.model,
            model_returned=reading.model,
            fingerprint=reading.fingerprint,
            prompt_hash=self._prompt.hash,
            answer=None if reading.text is None else reading.text[:_MAX_ANSWER],
            signal=reading.signal,
            attempts=tuple(attempts),
        )

    async def _post(self, body: bytes) -> httpx.Response:
        """Send one request and read the whole response; raises Passing where either fails on the way."""
        try:
            # httpx counts the time between two pieces of a response, so that one that trickles would never be late.
            async with asyncio.timeout(self.endpoint.timeout_s):
                return await self._http.post(self._url, content=body)
        except (TimeoutError, httpx.TimeoutException) as error:
            if not _broken(error):
                raise Passing("timeout", f"no answer within {self.endpoint.timeout_s:g} s") from error
            raise Passing("connection", f"connection failed: {type(error.__cause__).__name__}") from error
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            # The transport lets aiohttp's error through where a server does not speak HTTP.
            raise Passing("connection", f"connection failed: {type(error).__name__}") from error

    def _without_key(self, content: bytes) -> bytes:
        """Return a body without the key: a server that repeats its request must not bring it onto a topic."""
        if self._secret is None or len(self._secret) < _SHORTEST_KEY:
            return content
        return content.replace(self._secret.encode(), b"[key]")

    def _answered(self, reading: Reading, at_ms: int, began: float) -> Attempt:
        prompt_tokens, completion_tokens = reading.prompt_tokens or 0, reading.completion_tokens or 0
        return Attempt(
            outcome="ok" if reading.signal.status == "scored" else "unscorable",
            at_ms=at_ms,
            latency_ms=(time.perf_counter() - began) * 1000,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=self._price.cost(prompt_tokens, completion_tokens),
        )

    def _unanswered(self, attempts: list[Attempt], reason: Reason, detail: str) -> Call:
        return Call(
            tier=self.tier,
            model_asked=self.endpoint.model,
            prompt_hash=self._prompt.hash,
            signal=Unscorable(reason=reason, detail=detail),
            attempts=tuple(attempts),
        )


def _broken(error: Exception) -> bool:
    """Return whether this time-out is none: the transport has that name for every connection that breaks."""
    cause = error.__cause__
    return isinstance(cause, aiohttp.ClientConnectionError) and not isinstance(cause, TimeoutError)


def _failed(outcome: str, at_ms: int, began: float) -> Attempt:
    return Attempt(outcome=outcome, at_ms=at_ms, latency_ms=(time.perf_counter() - began) * 1000)


def _pause_after(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and for how long the provider asked to be left alone."""
    if not isinstance(error, Passing):
        return False
    return True if error.after is None else min(error.after, _LONGEST_PAUSE_S)
