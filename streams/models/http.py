"""One request to an endpoint until it is answered, refused or given up: bounded, patient within limits, on record."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import aiohttp
import httpx
import httpx_aiohttp
import stamina

from schemas import Attempt, Reason
from streams.core.guards.availability import TIMEOUTS
from streams.models.endpoint import HttpEndpoint
from streams.models.failures import Passing, Refusal, judge
from streams.models.outlook import Failure, Outlook
from streams.models.trouble import address_of, unreachable, was_sent

_CONNECT_TIMEOUT_S = 10.0
#: A key that is shorter is a word that servers without keys are given, such as "none": no secret, and maybe a label.
_SHORTEST_KEY = 16
#: The longest body that is read, bytes: the logprobs of the longest text with all that may come with them.
MAX_BODY_BYTES = 32 * 1024 * 1024
#: Any bytes are that; httpx would try three encodings on all headers for each look at one.
_HEADER_ENCODING = "latin-1"
_OF_THE_BODY = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})
#: A provider that asks for no wait at all (or for a moment that our clock has passed) gets this one.
_SHORTEST_PAUSE_S = 0.2
#: A time-out that comes so late was held up in this process, seconds.
_STALL_S = 0.5


@dataclass(frozen=True, slots=True)
class Answered:
    """The body that an endpoint answered with, without our key, and when and how fast (milliseconds)."""

    content: bytes
    at_ms: int
    latency_ms: float
    failed: tuple[Attempt, ...] = ()
    """The attempts before."""

    def attempt(
        self,
        outcome: str,
        prompt_tokens: int,
        completion_tokens: int,
        cost_usd: float | None,
        *,
        estimated: bool = False,
    ) -> Attempt:
        """Return the record of the attempt that was answered, by what its body said."""
        return Attempt(
            outcome=outcome,
            at_ms=self.at_ms,
            latency_ms=self.latency_ms,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=cost_usd,
            estimated=estimated,
        )


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why there is no body, with every attempt."""

    reason: Reason
    detail: str
    failed: tuple[Attempt, ...] = ()


class Exchange:
    """The connections to one endpoint. ``send`` never raises but StopWorker and cancellation.

    httpx on the aiohttp transport: httpx's own spends some 8 ms of CPU a call with 64 calls in flight, this one a small
    part of that (``docs/throughput.md``). Requests go to the transport as they are: all that httpx's client would do for each of them (merge URLs and
    headers, look for cookies and redirects, log) is done once or is not wanted here. The semaphore is as large as the
    pool, so that no time-out is spent waiting for a connection. ``name`` is what errors call the endpoint.
    """

    def __init__(
        self,
        endpoint: HttpEndpoint,
        *,
        name: str = "the endpoint",
        transport: httpx.AsyncBaseTransport | None = None,
        outlook: Outlook | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._name = f"{name} at {address_of(endpoint.base_url)}"
        self._outlook = outlook or Outlook()
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        key = endpoint.api_key()
        self._secret = None if key is None else key.get_secret_value()
        limits = httpx.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
        self._transport = transport or httpx_aiohttp.AiohttpTransport(limits=limits)
        # The client's own, for its name and the encodings that it can decode. All requests share them.
        self._headers = httpx.AsyncClient(
            transport=self._transport,
            headers={"content-type": "application/json"}
            | ({"authorization": f"Bearer {self._secret}"} if self._secret else {}),
        ).headers
        # An attempt's own time-out bounds the rest, for which the transport would need separate timers.
        self._extensions = {"timeout": {"connect": min(_CONNECT_TIMEOUT_S, endpoint.timeout_s)}}
        self._base = endpoint.base_url.rstrip("/")
        self._urls: dict[str, httpx.URL] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def send(self, path: str, body: bytes, *, attempts: int | None = None) -> Answered | Unanswered:
        """POST a body until it is answered or refused, within ``attempts`` (default: the endpoint's) and the deadline.

        Raises StopWorker for a key or a model that the endpoint does not know.
        """
        failed: list[Attempt] = []
        deadline = asyncio.get_running_loop().time() + self._endpoint.deadline_s
        try:
            try:
                return await self._attempt(path, body, failed, deadline)
            except Passing as first:
                attempts = attempts or self._endpoint.attempts
                if attempts == 1:
                    raise
                async with self._outlook.until(deadline) as limit:
                    return await self._again(path, body, failed, limit, first, attempts)
        except TimeoutError:
            detail = f"{self._name} gave no answer within {self._endpoint.deadline_s:g} s (deadline_s)"
            if self._outlook.is_down and asyncio.get_running_loop().time() < deadline:
                detail = f"not tried again: {self._name} does not answer"
            return Unanswered(Reason.NO_ANSWER, detail, tuple(failed))
        except Passing as last:
            return Unanswered(Reason.NO_ANSWER, str(last), tuple(failed))

    async def _again(
        self,
        path: str,
        body: bytes,
        failed: list[Attempt],
        limit: asyncio.Timeout,
        first: Passing | None,
        attempts: int,
    ) -> Answered | Unanswered:
        """Go on after the first attempt, which failed; most requests never get here, and so never pay for this loop."""
        deadline = limit.when()
        assert deadline is not None
        async for attempt in stamina.retry_context(
            on=partial(self._pause_after, deadline),
            attempts=attempts,
            timeout=None,
            wait_initial=_SHORTEST_PAUSE_S,
            wait_max=10.0,
            wait_jitter=0.2,
        ):
            self._outlook.go_on(limit)
            with attempt:
                if first is not None:
                    known, first = first, None
                    raise known
                return await self._attempt(path, body, failed, deadline)
            self._outlook.pause(limit)
        raise AssertionError("stamina ends in a return or an error")

    async def _attempt(self, path: str, body: bytes, failed: list[Attempt], deadline: float) -> Answered | Unanswered:
        """Send once. Raises Passing for what may pass, and TimeoutError at the deadline (seconds of the loop's clock)."""
        at_ms, began, late_at = 0, 0.0, deadline
        try:
            async with asyncio.timeout_at(deadline) as limit, self._slots:
                at_ms, began = time.time_ns() // 1_000_000, time.perf_counter()
                late_at = asyncio.get_running_loop().time() + self._endpoint.timeout_s
                limit.reschedule(min(late_at, deadline))
                response, content = await self._post(path, body)
                refusal = None if response.is_success else self._judged(response, content)
        except Passing as error:
            self._failed(error, failed, at_ms, began)
            raise
        except (TimeoutError, asyncio.CancelledError) as error:
            timed_out = isinstance(error, TimeoutError) and late_at < deadline
            if timed_out:
                late = self._late()
                self._failed(late, failed, at_ms, began)
                raise late from error
            if at_ms:  # else it waited for its turn
                failed.append(_failed("deadline", at_ms, began))
            raise
        if len(content) > MAX_BODY_BYTES:
            refusal = Refusal("body_too_long", Reason.NO_ANSWER, f"the body is longer than {MAX_BODY_BYTES} bytes")
        if isinstance(refusal, Refusal):
            failed.append(_failed(refusal.outcome, at_ms, began))
            return Unanswered(refusal.reason, refusal.detail, tuple(failed))
        latency_ms = (time.perf_counter() - began) * 1000
        return Answered(self._without_key(content), at_ms, latency_ms, tuple(failed))

    def _failed(self, error: Passing, failed: list[Attempt], at_ms: int, began: float) -> None:
        """Record a failed attempt, and tell the others of it."""
        attempt = _failed(error.outcome, at_ms, began)
        first_timeout = self._is_first_timeout(attempt, [each for each in failed if each.outcome in TIMEOUTS])
        failed.append(attempt)
        took_s = attempt.latency_ms / 1000
        self._outlook.failed(Failure(str(error), took_s, first_timeout=first_timeout, after_s=error.after))

    def _is_first_timeout(self, attempt: Attempt, timeouts: Sequence[Attempt]) -> bool:
        """Return whether an attempt, after these time-outs of its call, is the first that says something of the endpoint.

        A first one that took much longer than it may does not: this process was stalled, and its timers fire before it reads answers
        that have already arrived.
        """
        if attempt.outcome not in TIMEOUTS:
            return False
        if not timeouts:
            return not self._is_late(attempt)
        return len(timeouts) == 1 and self._is_late(timeouts[0])

    def _is_late(self, attempt: Attempt) -> bool:
        return attempt.latency_ms > (self._endpoint.timeout_s + _STALL_S) * 1000

    def _pause_after(self, deadline: float, error: Exception) -> bool | float:
        """Tell stamina whether to try again, and for how long the provider asked to be left alone.

        No provider is asked earlier than it wishes: a pause lasts until the deadline if it wishes a longer one.
        """
        if not isinstance(error, Passing):
            return False
        pause_s = _SHORTEST_PAUSE_S if error.after is None else max(error.after, _SHORTEST_PAUSE_S)
        if not self._outlook.allows(pause_s, deadline - asyncio.get_running_loop().time()):
            return False
        return True if error.after is None else min(pause_s, self._endpoint.deadline_s)

    async def _post(self, path: str, body: bytes) -> tuple[httpx.Response, bytes]:
        """Send one request and return the response and its body, of which one byte over MAX_BODY_BYTES is read at most.

        Raises Passing if either fails on the way.
        """
        try:
            return await self._answer(self._request(path, body))
        except (TimeoutError, httpx.TimeoutException) as error:
            if not _broken(error):
                raise (self._late() if was_sent(error) else self._not_connected()) from error
            raise self._broken_off(error) from error
        except (httpx.HTTPError, aiohttp.ClientError, UnicodeError) as error:
            # The transport lets aiohttp's error through if a server does not speak HTTP, and another one for a status
            # line whose reason is no UTF-8.
            raise self._broken_off(error) from error

    def _late(self) -> Passing:
        return Passing("timeout", f"{self._name} gave no answer within {self._endpoint.timeout_s:g} s (timeout_s)")

    def _not_connected(self) -> Passing:
        return Passing("connect_timeout", f"{self._name} took no connection in time")

    def _broken_off(self, error: BaseException) -> Passing:
        return Passing("cut_off" if was_sent(error) else "connection", unreachable(self._name, error))

    def _judged(self, response: httpx.Response, content: bytes) -> Refusal:
        return judge(_whole(response, content), self._name, self._endpoint, self._secret)

    def _request(self, path: str, body: bytes) -> httpx.Request:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = httpx.URL(self._base + path)
        # With ``content=`` it would copy the headers and add Host and Content-Length, which the transport does too.
        request = httpx.Request("POST", url, stream=httpx.ByteStream(body), extensions=self._extensions)
        request.read()
        request.headers = self._headers
        return request

    async def _answer(self, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        response = await self._transport.handle_async_request(request)
        response.request = request
        response.headers.encoding = _HEADER_ENCODING
        try:
            return response, await _bounded(response)
        finally:
            # With half a body unread, its connection is not used again. aiohttp waits for nobody here, so nothing bounds it.
            await response.aclose()

    def _without_key(self, content: bytes) -> bytes:
        """Return a body without the key: a server that repeats its request must not bring it onto a topic."""
        if self._secret is None or len(self._secret) < _SHORTEST_KEY:
            return content
        return content.replace(self._secret.encode(), b"[key]")


async def _bounded(response: httpx.Response) -> bytes:
    """Return the body, of which no more is read than shows that it is too long."""
    content = bytearray()
    # What is not compressed goes past httpx's decoders.
    pieces = response.aiter_bytes() if "content-encoding" in response.headers else response.stream
    async for piece in cast(AsyncIterable[bytes], pieces):
        content += piece
        if len(content) > MAX_BODY_BYTES:
            break
    return bytes(content[: MAX_BODY_BYTES + 1])


def _whole(response: httpx.Response, content: bytes) -> httpx.Response:
    """Return a response that has its body; its length and its compression are no longer what the headers say."""
    headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
    return httpx.Response(response.status_code, headers=headers, content=content, request=response.request)


def _broken(error: Exception) -> bool:
    """Return whether this time-out is none: the transport has that name for every connection that breaks."""
    cause = error.__cause__
    return isinstance(cause, aiohttp.ClientConnectionError) and not isinstance(cause, TimeoutError)


def _failed(outcome: str, at_ms: int, began: float) -> Attempt:
    return Attempt(outcome=outcome, at_ms=at_ms, latency_ms=(time.perf_counter() - began) * 1000)
