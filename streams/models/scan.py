"""Finds out what an endpoint gives: logprobs or none, in which shape, how many, at which least length of the answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import httpx
import httpx_aiohttp
import orjson
import stamina
from pydantic import Field

from schemas import Unscorable
from streams.core.reading import alternatives, read_answer
from streams.core.reading.body import parse
from streams.errors import HedgerowError
from streams.models.endpoint import Endpoint
from streams.models.failures import Passing, Refusal, judge

Api = Literal["chat", "responses", "completions"]

_QUESTION = "Is ice cold? Answer with one word: yes or no."
_PATHS: dict[Api, str] = {"chat": "chat/completions", "responses": "responses", "completions": "completions"}
#: Lengths to try where an answer is empty (a model that thinks first) and no error names one, tokens.
_LENGTHS = (1, 16, 64)
#: Numbers of alternatives to try where an error names none: what most providers give, down to the fewest.
_KS = (20, 8, 5, 1)
_MOST_STEPS = 12
_ATTEMPTS = 3
_LEAST = re.compile(
    r"(?:>=|at least|minimum(?: value)?(?: is| of|:)?|greater than or equal to|no(?:t)? less than)\s*(\d+)",
    re.IGNORECASE,
)
_MOST = re.compile(
    r"(?:<=|at most|maximum(?: value)?(?: is| of|:)?|less than or equal to|no(?:t)? more than|(?:between|from) \d+ (?:and|to))"
    r"\s*(\d+)",
    re.IGNORECASE,
)


class Target(Endpoint):
    """An endpoint to look at, and the API to ask it by."""

    name: Annotated[str, Field(max_length=256)] = ""
    """The model's name without it."""
    api: Api = "chat"


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one endpoint gives."""

    name: str
    model: str
    api: Api
    logprobs: bool
    """Whether there are logprobs with alternatives: the only kind that can be scored."""
    reason: str | None = None
    """Why there are none: the reading's reason, or "error" where the endpoint could not be asked."""
    detail: str = ""
    shape: str | None = None
    """Where the answer stood, and the form of its logprobs: "chat/content", "legacy/tokens" ..."""
    k: int | None = None
    """Alternatives at one token, the written one included."""
    k_asked: int = _KS[0]
    min_output_tokens: int | None = None
    """The least length at which the logprobs came: 1, or what the endpoint demanded."""
    model_returned: str | None = None
    fingerprint: bool = False
    usage: bool = False
    adapted: tuple[str, ...] = ()
    """What had to be asked for in another way, in order."""


@dataclass(frozen=True, slots=True)
class _Asked:
    length: int = _LENGTHS[0]
    k: int = _KS[0]
    length_field: str = "max_tokens"


async def scan(target: Target, *, transport: httpx.AsyncBaseTransport | None = None) -> Scanned:
    """Ask one endpoint until it is clear what it gives; what goes wrong is in the result. Raises SettingsError for a key
    that is not there."""
    key = target.api_key()
    secret = None if key is None else key.get_secret_value()
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {secret}"} if secret else {})
    asked = _Asked(length_field="max_output_tokens" if target.api == "responses" else target.max_tokens_field)
    adapted: list[str] = []
    result = Scanned(target.name or target.model, target.model, target.api, logprobs=False)
    async with httpx.AsyncClient(
        transport=transport or httpx_aiohttp.AiohttpTransport(), headers=headers, timeout=target.timeout_s
    ) as http:
        for _ in range(_MOST_STEPS):
            try:
                answer = await _post(http, target, asked, secret)
            except (HedgerowError, httpx.HTTPError) as error:
                return replace(result, reason="error", detail=_line(error), adapted=tuple(adapted))
            if isinstance(answer, Refusal):
                result = replace(result, reason=str(answer.reason), detail=answer.detail)
                next_asked = _adapt(asked, answer.detail)
            else:
                result = _read(result, answer, asked)
                next_asked = (
                    None if result.logprobs or result.reason not in {"no_content", "truncated"} else _longer(asked)
                )
            if next_asked is None:
                break
            adapted.append(_difference(asked, next_asked))
            asked = next_asked
    return replace(result, adapted=tuple(adapted))


async def _post(http: httpx.AsyncClient, target: Target, asked: _Asked, secret: str | None) -> bytes | Refusal:
    url = f"{target.base_url.rstrip('/')}/{_PATHS[target.api]}"
    body = orjson.dumps({**_body(target, asked), **target.extra})
    async for attempt in stamina.retry_context(on=Passing, attempts=_ATTEMPTS, wait_initial=0.2, wait_max=2.0):
        with attempt:
            response = await http.post(url, content=body)
            return response.content if response.is_success else judge(response, secret)
    raise AssertionError("stamina ends in a return or an error")


def _body(target: Target, asked: _Asked) -> dict[str, Any]:
    length = {asked.length_field: asked.length}
    common = {"model": target.model, "temperature": target.temperature, **length}
    if target.api == "completions":
        return {**common, "prompt": _QUESTION, "logprobs": asked.k}
    if target.api == "responses":
        include = ["message.output_text.logprobs"]
        return {**common, "input": _QUESTION, "include": include, "top_logprobs": asked.k}
    messages = [{"role": "user", "content": _QUESTION}]
    return {**common, "messages": messages, "logprobs": True, "top_logprobs": asked.k}


def _adapt(asked: _Asked, detail: str) -> _Asked | None:
    """Return what to ask next after an error that says so, or None where it says nothing of use."""
    text = detail.lower()
    if "max_completion_tokens" in text and asked.length_field == "max_tokens":
        return replace(asked, length_field="max_completion_tokens")
    least = _LEAST.search(text)
    if least and ("token" in text or "length" in text) and asked.length < int(least[1]) <= _LENGTHS[-1] * 16:
        return replace(asked, length=int(least[1]))
    if "logprobs" in text and (most := _MOST.search(text)) and 1 <= int(most[1]) < asked.k:
        return replace(asked, k=int(most[1]))
    fewer = next((k for k in _KS if k < asked.k), None)
    # "Not supported" means it, however few are asked for.
    return replace(asked, k=fewer) if "logprobs" in text and "support" not in text and fewer is not None else None


def _longer(asked: _Asked) -> _Asked | None:
    length = next((length for length in _LENGTHS if length > asked.length), None)
    return None if length is None else replace(asked, length=length)


def _difference(before: _Asked, after: _Asked) -> str:
    if before.length_field != after.length_field:
        return f"{after.length_field} instead of {before.length_field}"
    if before.length != after.length:
        return f"{after.length} output tokens instead of {before.length}"
    return f"{after.k} alternatives instead of {before.k}"


def _read(result: Scanned, content: bytes, asked: _Asked) -> Scanned:
    answer = read_answer(content)
    has_usage = answer.prompt_tokens is not None or answer.completion_tokens is not None
    result = replace(
        result,
        model_returned=answer.model,
        fingerprint=answer.fingerprint is not None,
        usage=has_usage,
        k_asked=asked.k,
        shape=answer.shape,
    )
    if isinstance(answer.tokens, Unscorable):
        return replace(result, reason=str(answer.tokens.reason), detail=answer.tokens.detail)
    shown = [alternatives(token) for token in answer.tokens]
    ks = [each.k for each in shown if not isinstance(each, Unscorable)]
    if not ks:
        first = next(each for each in shown if isinstance(each, Unscorable))
        return replace(result, reason=str(first.reason), detail=first.detail)
    shape = "/".join(filter(None, (answer.shape, _form(content))))
    return replace(
        result, logprobs=True, reason=None, detail="", shape=shape, k=max(ks), min_output_tokens=asked.length
    )


def _form(content: bytes) -> str | None:
    """Return the form of a choice's logprobs: a list of entries under "content", or parallel lists under "tokens"."""
    body = parse(content)
    choices = None if isinstance(body, Unscorable) else body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    logprobs = first.get("logprobs") if isinstance(first, dict) else None
    return next((form for form in ("content", "tokens") if isinstance(logprobs, dict) and logprobs.get(form)), None)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
