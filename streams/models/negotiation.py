"""How an endpoint is asked for a few tokens with logprobs, and what to ask instead after an answer that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from streams.core.wording import counted
from streams.models.endpoint import Endpoint

Api = Literal["chat", "responses", "completions"]

PATHS: dict[Api, str] = {"chat": "/chat/completions", "responses": "/responses", "completions": "/completions"}
#: Lengths to try if an answer is empty (a model that thinks first) and no error names one, tokens.
LENGTHS = (1, 16, 64)
#: Numbers of alternatives to try if an error names none: what most providers give, down to the fewest.
KS = (20, 8, 5, 1)
_LEAST = re.compile(r"(?:>=|at least|minimum|greater than or equal to|not? less than)\D{0,40}?(\d+)", re.IGNORECASE)
_MOST = re.compile(
    r"(?:<=|at most|maximum|less than or equal to|not? more than|(?:between|from) \d+ (?:and|to))\D{0,40}?(\d+)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: how many tokens, how many alternatives of each, and the name of the field for the former."""

    length: int = LENGTHS[0]
    k: int = KS[0]
    length_field: str = "max_tokens"

    @classmethod
    def of(cls, endpoint: Endpoint, api: Api, *, length: int, k: int) -> Asked:
        """Return how an endpoint is asked first."""
        return cls(length, k, "max_output_tokens" if api == "responses" else endpoint.max_tokens_field)


def request_body(endpoint: Endpoint, api: Api, asked: Asked, prompt: str) -> bytes:
    """Return the request with ``prompt`` as the user's only message."""
    common = {
        "model": endpoint.model,
        "temperature": endpoint.temperature,
        "top_p": endpoint.top_p,
        asked.length_field: asked.length,
    }
    if endpoint.top_p == Endpoint.model_fields["top_p"].default:
        del common["top_p"]  # it is every API's own, and some models take no such field
    return orjson.dumps({**common, **_question(api, asked, prompt), **endpoint.extra})


def _question(api: Api, asked: Asked, prompt: str) -> dict[str, Any]:
    if api == "completions":
        return {"prompt": prompt, "logprobs": asked.k}
    if api == "responses":
        return {"input": prompt, "include": ["message.output_text.logprobs"], "top_logprobs": asked.k}
    return {"messages": [{"role": "user", "content": prompt}], "logprobs": True, "top_logprobs": asked.k}


def adapt(asked: Asked, detail: str) -> Asked | None:
    """Return what to ask next after an error that says so, or None if it says nothing of use."""
    text = detail.lower()
    if "max_completion_tokens" in text and asked.length_field == "max_tokens":
        return replace(asked, length_field="max_completion_tokens")
    least = _LEAST.search(text)
    if least and ("token" in text or "length" in text) and asked.length < int(least[1]) <= LENGTHS[-1] * 16:
        return replace(asked, length=int(least[1]))
    if "logprobs" in text and (most := _MOST.search(text)) and 1 <= int(most[1]) < asked.k:
        return replace(asked, k=int(most[1]))
    fewer = next((k for k in KS if k < asked.k), None)
    # "Not supported" means it, however few are asked for.
    return replace(asked, k=fewer) if "logprobs" in text and "support" not in text and fewer is not None else None


def longer(asked: Asked) -> Asked | None:
    """Return what to ask next after an answer without text, or None if the longest was tried."""
    length = next((length for length in LENGTHS if length > asked.length), None)
    return None if length is None else replace(asked, length=length)


def difference(before: Asked, after: Asked) -> str:
    """Return in one line what is asked for in another way."""
    if before.length_field != after.length_field:
        return f"{after.length_field} instead of {before.length_field}"
    if before.length != after.length:
        return f"{counted(after.length, 'output token')} instead of {before.length}"
    return f"{counted(after.k, 'alternative')} instead of {before.k}"
