"""A stream's chunks, joined into the body that the provider would have sent without streaming."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from schemas.signal import Reason, Unscorable

#: Text under these keys arrives in pieces; any other text is repeated in each chunk.
_GROWING = frozenset(
    {
        "content",
        "text",
        "response",
        "refusal",
        "thinking",
        "reasoning",
        "reasoning_content",
        "generated_text",
        "generation",
    }
)
#: Lists under these keys hold one growing item per index instead of growing themselves.
_INDEXED = frozenset({"choices", "candidates", "results"})
_SEVERAL = Unscorable(reason=Reason.UNKNOWN_SHAPE, detail="the body holds several answers")
#: Deeper than any provider's body; what lies below is taken from the last chunk.
_DEPTH = 8


def merge(chunks: list[Any]) -> dict[str, Any] | Unscorable:
    """Join the chunks of a chat, completions, Gemini, Ollama, llama.cpp or Responses stream.

    A stream that ends without saying why it ended broke off, and is marked as ``cut``: more of the answer, or a filter's
    verdict on it, may have been lost.
    """
    bodies = [chunk for chunk in chunks if isinstance(chunk, dict)]
    if not bodies or len(bodies) < len(chunks):
        return Unscorable(reason=Reason.NOT_JSON, detail="the body is a list of something else than objects")
    for body in bodies:
        if is_error(body):
            return body
    finals: list[dict[str, Any]] = [
        body["response"] for body in bodies if _is_event(body) and isinstance(body.get("response"), dict)
    ]
    if finals:
        return finals[-1]
    if len(bodies) == 1 and not is_chunk(bodies[0]):
        return bodies[0]
    if "meta_info" in bodies[-1]:  # SGLang: each chunk holds all that was written so far
        return bodies[-1] if _grows([body.get("text") for body in bodies]) else _SEVERAL
    if all(isinstance(body.get("token"), dict) for body in bodies):
        return _tgi(bodies)
    merged: dict[str, Any] = {}
    for body in bodies:
        _merge_into(merged, body, _DEPTH)
    _mark_cut(merged)
    return merged


def _grows(texts: list[Any]) -> bool:
    """Return whether each text begins with the one before it."""
    return all(isinstance(text, str) for text in texts) and all(
        after.startswith(before) for before, after in pairwise(texts)
    )


def _tgi(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """Text Generation Inference: one token a chunk, the whole text and the details in the last one."""
    last = chunks[-1]
    details = last["details"] if isinstance(last.get("details"), dict) else {"finish_reason": "cut"}
    tokens, top = [chunk["token"] for chunk in chunks], [chunk.get("top_tokens") for chunk in chunks]
    text = last.get("generated_text")
    if not isinstance(text, str):
        text = "".join(str(token.get("text", "")) for token in tokens)
    return {"generated_text": text, "details": {**details, "tokens": tokens, "top_tokens": top}}


def is_error(body: dict[str, Any]) -> bool:
    """Return whether a body, or a chunk of one, is an error."""
    return bool(body.get("error")) or "error" in (body.get("type"), body.get("object"))


def is_chunk(body: dict[str, Any]) -> bool:
    """Return whether the body is one chunk of a chat stream."""
    choices = body.get("choices")
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict) and "delta" in choices[0]


def _is_event(body: dict[str, Any]) -> bool:
    kind = body.get("type")
    return isinstance(kind, str) and kind.startswith("response.")


def _merge_into(whole: dict[str, Any], part: dict[str, Any], depth: int) -> None:
    for name, value in part.items():
        key = "message" if name == "delta" else name
        old = whole.get(key)
        if isinstance(value, dict) and key == "top_logprobs":
            value = [value]  # legacy: one dict for this chunk's one token
        if value is None:
            whole.setdefault(key, None)
        elif isinstance(value, dict) and depth:
            if not isinstance(old, dict):
                old = whole[key] = {}
            _merge_into(old, value, depth - 1)
        elif isinstance(value, list) and depth:
            if not isinstance(old, list):
                old = whole[key] = []
            _extend(old, value, depth - 1, indexed=key in _INDEXED)
        elif isinstance(value, str) and isinstance(old, str) and key in _GROWING:
            whole[key] = old + value
        elif (value == "" and old) or (key == "filtered" and old is True) or old == "content_filter":
            continue  # annotations of Azure's filter come without a model's name, and one for each part of the text
        else:
            whole[key] = value


def _extend(whole: list[Any], part: list[Any], depth: int, *, indexed: bool) -> None:
    if not indexed:
        whole.extend(part)
        return
    # Only the first answer is read, whichever place the chunk gives it.
    first = next((item for item in part if isinstance(item, dict) and item.get("index") in (0, None)), None)
    if first is not None:
        if not whole:
            whole.append({})
        _merge_into(whole[0], first, depth)


def _mark_cut(body: dict[str, Any]) -> None:
    choices = body.get("choices")
    if isinstance(choices, list):
        for choice in choices:
            choice["finish_reason"] = choice.get("finish_reason") or "cut"
    candidates = body.get("candidates")
    if isinstance(candidates, list):
        for candidate in candidates:
            if not (candidate.get("finishReason") or candidate.get("finish_reason")):
                candidate["finishReason"] = "cut"
