"""Probes one endpoint: a short prompt, one token, its top-k logprobs; whatever comes of it is a Probe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from schemas import Probe, Reason, Unscorable
from streams.core.drift.schedule import probe_id
from streams.core.signal import Answer, read_answer
from streams.core.signal.first_token import ABSENT, first_token
from streams.errors import StopWorker
from streams.models.http import Exchange, Unanswered
from streams.models.negotiation import PATHS, Asked, adapt, longer, request_body
from streams.models.prices import cost_of
from streams.models.probed_endpoint import ProbedEndpoint

#: Requests in one probe; what an endpoint takes is remembered, so that only the first probe needs more than one.
_MOST_REQUESTS = 8
_MAX_ERROR = 300
#: An answer that was cut before its first token, or began with thinking, may have one if more is asked for.
_TOO_SHORT = frozenset({Reason.NO_CONTENT, Reason.TRUNCATED})


@dataclass(frozen=True, slots=True)
class _Failed:
    """A request without an answer: the error's short name and what the endpoint said, and whether it would say so again."""

    error: str
    for_good: bool


class Probing:
    """One endpoint's prober. ``probe`` never raises but cancellation: an endpoint in trouble is a finding.

    Raises SettingsError if the key is not in the environment, or the price is unknown.
    """

    def __init__(
        self,
        endpoint: ProbedEndpoint,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.endpoint = endpoint
        self._price = endpoint.price
        self._exchange = Exchange(endpoint, name=f"endpoint {endpoint.name}", transport=transport)
        self._asked = Asked.of(endpoint, endpoint.api, length=endpoint.max_tokens, k=endpoint.top_logprobs)
        self._wall_ms = wall_ms

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    async def probe(self, slot_ms: int) -> Probe:
        """Make the probe of one slot of the schedule.

        A request that the endpoint refuses for what it asks (a longer answer, fewer alternatives) is made again.
        """
        at_ms, asked = self._wall_ms(), self._asked
        prompt_tokens = completion_tokens = 0
        answer: Answer | None = None
        error: str | None = None
        logprobs: dict[str, float] | None = None
        for _ in range(_MOST_REQUESTS):
            came = await self._ask(asked)
            if isinstance(came, _Failed):
                answer, error, again = None, came.error, adapt(asked, came.error) if came.for_good else None
            else:
                answer = came
                prompt_tokens += answer.prompt_tokens or 0
                completion_tokens += answer.completion_tokens or 0
                logprobs, error, too_short = _read(answer)
                again = longer(asked) if too_short else None
            if again is None:
                break
            asked = again
        if logprobs is not None:
            self._asked = asked  # what led to nothing is not worth asking for again
        return Probe(
            probe_id=probe_id(self.endpoint.name, slot_ms),
            endpoint=self.endpoint.name,
            at_ms=at_ms,
            model_asked=self.endpoint.model,
            model_returned=None if answer is None else answer.model,
            fingerprint=None if answer is None else answer.fingerprint,
            prompt=self.endpoint.prompt,
            temperature=self.endpoint.temperature,
            k_asked=asked.k,
            logprobs=logprobs,
            error=None if error is None else error[:_MAX_ERROR],
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=cost_of(self._price, prompt_tokens, completion_tokens),
        )

    async def _ask(self, asked: Asked) -> Answer | _Failed:
        endpoint = self.endpoint
        body = request_body(endpoint, endpoint.api, asked, endpoint.prompt)
        try:
            came = await self._exchange.send(PATHS[endpoint.api], body)
        except StopWorker as refused:
            # Of this endpoint only: the others are probed on, and this one until somebody has seen to it.
            return _Failed(f"refused: {refused}", for_good=False)
        if isinstance(came, Unanswered):
            name = came.failed[-1].outcome if came.failed else came.reason
            return _Failed(f"{name}: {came.detail}", for_good=came.reason is not Reason.NO_ANSWER)
        return read_answer(came.content)


def _read(answer: Answer) -> tuple[dict[str, float] | None, str | None, bool]:
    """Return the logprobs, the error, and whether a longer answer might have some; no logprobs at all are no error."""
    listed = first_token(answer)
    if not isinstance(listed, Unscorable):
        return listed, None, False
    error = None if listed.reason in ABSENT else f"{listed.reason}: {listed.detail}"
    return None, error, listed.reason in _TOO_SHORT
