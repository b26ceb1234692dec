"""Finds out what an endpoint gives: logprobs or none, in which shape, how many, at which least length of the answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import httpx

from schemas import Unscorable
from streams.core.signal import alternatives, read_answer
from streams.core.signal.body import parse
from streams.errors import StopWorker
from streams.models.http import Exchange, Unanswered
from streams.models.negotiation import KS, LENGTHS, PATHS, Api, Asked, adapt, difference, longer, request_body
from streams.models.probed_endpoint import ProbedEndpoint

_QUESTION = "Is ice cold? Answer with one word: yes or no."
_MOST_STEPS = 12
#: An answer without text may have one, and logprobs, if more tokens are allowed: a model that thinks first.
_TOO_SHORT = frozenset({"no_content", "truncated"})


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one endpoint gives."""

    name: str
    model: str
    api: Api
    logprobs: bool
    """Whether there are logprobs with alternatives: the only kind that can be scored."""
    reason: str | None = None
    """Why there are none: the reading's reason, or "refused" if the key or the model is not known."""
    detail: str = ""
    shape: str | None = None
    """Where the answer stood, and the form of its logprobs: "chat/content", "legacy/tokens" ..."""
    k: int | None = None
    """The most alternatives at one token, the written one included."""
    k_asked: int = KS[0]
    min_output_tokens: int | None = None
    """The least length at which the logprobs came: 1, or what the endpoint demanded."""
    model_returned: str | None = None
    fingerprint: bool = False
    usage: bool = False
    adapted: tuple[str, ...] = ()
    """What had to be asked for in another way, in order."""


async def scan(endpoint: ProbedEndpoint, *, transport: httpx.AsyncBaseTransport | None = None) -> Scanned:
    """Ask one endpoint until it is clear what it gives; what goes wrong is in the result.

    Raises SettingsError for a key that is not in the environment.
    """
    exchange = Exchange(endpoint, name=f"endpoint {endpoint.name}", transport=transport)
    try:
        return await _scan(exchange, endpoint)
    finally:
        await exchange.close()


async def _scan(exchange: Exchange, endpoint: ProbedEndpoint) -> Scanned:
    result = Scanned(endpoint.name, endpoint.model, endpoint.api, logprobs=False)
    asked = Asked.of(endpoint, endpoint.api, length=LENGTHS[0], k=KS[0])
    adapted: list[str] = []
    for _ in range(_MOST_STEPS):
        try:
            came = await exchange.send(PATHS[endpoint.api], request_body(endpoint, endpoint.api, asked, _QUESTION))
        except StopWorker as refused:
            return replace(result, reason="refused", detail=str(refused), adapted=tuple(adapted))
        if isinstance(came, Unanswered):
            result = replace(result, reason=came.reason.value, detail=came.detail)
            again = adapt(asked, came.detail)
        else:
            result = _read(result, came.content, asked)
            again = longer(asked) if result.reason in _TOO_SHORT else None
        if again is None:
            break
        adapted.append(difference(asked, again))
        asked = again
    return replace(result, adapted=tuple(adapted))


def _read(result: Scanned, content: bytes, asked: Asked) -> Scanned:
    answer = read_answer(content)
    result = replace(
        result,
        model_returned=answer.model,
        fingerprint=answer.fingerprint is not None,
        usage=answer.prompt_tokens is not None or answer.completion_tokens is not None,
        k_asked=asked.k,
        shape="/".join(filter(None, (answer.shape, _form(content)))) or None,
    )
    if isinstance(answer.tokens, Unscorable):
        return replace(result, reason=str(answer.tokens.reason), detail=answer.tokens.detail)
    shown = [alternatives(token) for token in answer.tokens]
    ks = [each.k for each in shown if not isinstance(each, Unscorable)]
    if not ks:
        first = next(each for each in shown if isinstance(each, Unscorable))
        return replace(result, reason=str(first.reason), detail=first.detail)
    return replace(result, logprobs=True, reason=None, detail="", k=max(ks), min_output_tokens=asked.length)


def _form(content: bytes) -> str | None:
    """Return the form of a choice's logprobs: a list of entries under "content", or parallel lists under "tokens"."""
    body = parse(content)
    choices = None if isinstance(body, Unscorable) else body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    logprobs = first.get("logprobs") if isinstance(first, dict) else None
    return next((form for form in ("content", "tokens") if isinstance(logprobs, dict) and logprobs.get(form)), None)
