"""Who answered and what it cost in tokens: readable even if the answer is not."""

from __future__ import annotations

from typing import Any

from schemas.base import MAX_NAME
from streams.core.signal.numbers import count
from streams.core.signal.token_bytes import clean

_PROMPT = (
    "prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count", "tokens_evaluated",
    "inputTokens", "input_token_count", "inputTextTokenCount",
)  # fmt: skip
_COMPLETION = (
    "completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "eval_count",
    "tokens_predicted", "outputTokens", "generated_token_count", "generation_token_count", "generated_tokens",
)  # fmt: skip
#: Gemini counts thoughts apart from the answer and bills them as output.
_THOUGHTS = ("thoughtsTokenCount", "thoughts_token_count")


def model_of(body: dict[str, Any]) -> str | None:
    """Return the model that the body names, cut to the longest name a message takes."""
    return _name(body, "model", "modelVersion", "model_version", "model_id")


def fingerprint_of(body: dict[str, Any]) -> str | None:
    """Return the serving fingerprint; many providers give null, or the same for ever."""
    return _name(body, "system_fingerprint")


def usage_of(body: dict[str, Any]) -> tuple[int | None, int | None]:
    """Return prompt and completion tokens; each None if the body does not say."""
    for places in (body, body.get("response")):
        for key in ("usage", "usageMetadata", "usage_metadata"):
            usage = places.get(key) if isinstance(places, dict) else None
            if isinstance(usage, dict):
                # Cohere nests its counts once more.
                inner = usage.get("tokens")
                return _counts(inner if isinstance(inner, dict) else usage)
    results = body.get("results")
    first = results[0] if isinstance(results, list) and results else None
    for places in (body.get("meta_info"), body.get("details"), first):
        if isinstance(places, dict):
            return _counts(body | places)
    return _counts(body)


def _counts(usage: dict[str, Any]) -> tuple[int | None, int | None]:
    completion, thoughts = _first(usage, _COMPLETION), _first(usage, _THOUGHTS)
    if completion is not None and thoughts is not None:
        completion += thoughts
    return _first(usage, _PROMPT), completion


def _first(usage: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    return next((number for key in keys if (number := count(usage.get(key))) is not None), None)


def _name(body: dict[str, Any], *keys: str) -> str | None:
    for key in keys:
        if isinstance(body.get(key), str) and body[key]:
            return clean(body[key])[:MAX_NAME]
    return None
