"""Asks an endpoint for the logprobs of a ticket's own text."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Literal, Self

import httpx
import orjson
from pydantic import BaseModel, ConfigDict

from schemas import Attempt, NoPerplexity, Perplexity, Reason, TextPerplexity, Unmeasured
from streams.core.signal import read_answer
from streams.core.signal.perplexity import PerplexityRule, read_perplexity
from streams.core.signal.redaction import Redaction, redact
from streams.models.endpoint import Endpoint
from streams.models.http import Exchange, Unanswered
from streams.models.prices import cost_of

#: How prompt logprobs are asked for: the legacy echo, vLLM's ``prompt_logprobs``, Mistral's.
PromptApi = Literal["echo", "vllm", "mistral"]

PATHS: dict[PromptApi, str] = {
    "echo": "/completions",
    "vllm": "/completions",
    "mistral": "/chat/completions",
}
_REASONS = {
    Reason.CAPABILITY: NoPerplexity.CAPABILITY,
    Reason.REQUEST_REFUSED: NoPerplexity.REQUEST_REFUSED,
}


class PromptEndpoint(BaseModel):
    """An endpoint that gives prompt logprobs, and how they are asked for.

    Each ticket is measured alongside the cheap tier's call; one that goes straight to the big tier is not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    endpoint: Endpoint
    api: PromptApi = "echo"


def perplexity_request(prompt_endpoint: PromptEndpoint, text: str) -> dict[str, Any]:
    """Return the request body for the logprobs of a text, as it is sent to the path of its API below the base URL."""
    endpoint = prompt_endpoint.endpoint
    # One token is generated: several servers take no fewer.
    body: dict[str, Any] = {"model": endpoint.model, "temperature": 0, endpoint.max_tokens_field: 1}
    if prompt_endpoint.api == "echo":
        body |= {"prompt": text, "echo": True, "logprobs": 1}
    elif prompt_endpoint.api == "vllm":
        body |= {"prompt": text, "prompt_logprobs": 1, "return_token_ids": True}
    else:
        body |= {"messages": [{"role": "user", "content": text}], "prompt_logprobs": True}
    return body | endpoint.extra


class PerplexityClient:
    """An endpoint that gives prompt logprobs. An async context manager; ``measure`` never raises but StopWorker and
    cancellation.
    """

    def __init__(
        self,
        prompt_endpoint: PromptEndpoint,
        rule: PerplexityRule,
        *,
        redact: tuple[Redaction, ...] = (),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._prompt_endpoint = prompt_endpoint
        self._endpoint = prompt_endpoint.endpoint
        self._rule = rule
        self._redact = redact
        self._price = self._endpoint.price
        self._exchange = Exchange(self._endpoint, name="the perplexity endpoint", transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    async def measure(self, text: str) -> TextPerplexity:
        """Return how surprising the text is, whatever came of asking; a text that must be too short is not asked about.

        It is redacted first. Raises StopWorker for a key or a model that the endpoint does not know.
        """
        text = redact(text, self._redact)
        if len(text.strip()) < self._rule.min_tokens:
            detail = f"the text has {len(text)} characters, and {self._rule.min_tokens} tokens are needed"
            return self._result(Unmeasured(reason=NoPerplexity.TOO_SHORT, detail=detail), ())
        body = orjson.dumps(perplexity_request(self._prompt_endpoint, text))
        answered = await self._exchange.send(PATHS[self._prompt_endpoint.api], body)
        if isinstance(answered, Unanswered):
            reason = _REASONS.get(answered.reason, NoPerplexity.NO_ANSWER)
            return self._result(Unmeasured(reason=reason, detail=answered.detail), answered.failed)
        perplexity = read_perplexity(answered.content, text, self._rule)
        answer = read_answer(answered.content)
        prompt_tokens, completion_tokens = answer.prompt_tokens or 0, answer.completion_tokens or 0
        last = answered.attempt(
            "ok" if perplexity.status == "measured" else str(perplexity.reason),
            prompt_tokens,
            completion_tokens,
            cost_of(self._price, prompt_tokens, completion_tokens),
        )
        return self._result(perplexity, (*answered.failed, last), answer.model)

    def _result(
        self, perplexity: Perplexity, attempts: tuple[Attempt, ...], model_returned: str | None = None
    ) -> TextPerplexity:
        return TextPerplexity(
            model_asked=self._endpoint.model, model_returned=model_returned, result=perplexity, attempts=attempts
        )
