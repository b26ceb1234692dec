"""Where each kind of body keeps its answer. The kind is told by what is in the body, not by who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.reading.answer import Finish
from streams.core.reading.pieces import clean
from streams.core.reading.tokens import ABSENT

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "end_turn", "eos", "stop_sequence", "complete", "completed", "word"), "stop"),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "limit", "incomplete"), "length"),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii",
         "image_safety", "error_toxic", "guardrail_intervened", "moderation", "filter", "sensitive"),
        "filter",
    ),
    **dict.fromkeys(
        ("tool_calls", "tool_call", "tool_use", "function_call", "malformed_function_call", "unexpected_tool_call"),
        "tool",
    ),
    "refusal": "refusal",
    **dict.fromkeys(
        ("error", "failed", "cancelled", "abort", "insufficient_system_resource", "network_error", "error_limit",
         "user_cancel", "timeout", "malformed_response", "language", "other"),
        "error",
    ),
}  # fmt: skip


@dataclass(slots=True)
class Place:
    """An answer found in a body, its logprobs not read yet."""

    shape: str
    text: str | None = None
    finish: Finish | None = None
    logprobs: Any = ABSENT
    """The logprobs value as it came, or ABSENT."""


def find(body: dict[str, Any]) -> Place | Unscorable:
    """Return where the answer is, or why the body has none: an error, or no shape that is known."""
    if body.get("error") or body.get("object") == "error":
        return Unscorable(reason=Reason.ERROR_BODY, detail="the body is an error")
    for key, kind, read in (
        ("choices", list, _choice),
        ("output", list, _responses),
        ("candidates", list, _gemini),
        ("promptFeedback", dict, _gemini),
        ("prompt_feedback", dict, _gemini),
        ("message", dict, _message),
        ("completion_probabilities", list, _native),
        ("response", str, _generate),
    ):
        if isinstance(body.get(key), kind):
            return read(body)
    if isinstance(body.get("content"), str):
        return _native(body)
    if isinstance(body.get("content"), list):
        return _blocks(body)
    if any(isinstance(body.get(key), str | list) and body[key] for key in ("detail", "message", "errors")):
        return Unscorable(reason=Reason.ERROR_BODY, detail="the body is an error")
    return Unscorable(reason=Reason.UNKNOWN_SHAPE, detail="no known place for an answer")


def _choice(body: dict[str, Any]) -> Place | Unscorable:
    """Chat and legacy completions; only the first choice is read."""
    choices = [choice for choice in body["choices"] if isinstance(choice, dict)]
    if not choices:
        return Place("chat") if not body["choices"] else _unknown("choices holds no object")
    choice = next((choice for choice in choices if choice.get("index") == 0), choices[0])
    if choice.get("error"):
        return Unscorable(reason=Reason.ERROR_BODY, detail="the choice is an error")
    place = Place("chat", finish=_finish(choice.get("finish_reason")), logprobs=choice.get("logprobs", ABSENT))
    message = choice.get("message")
    if isinstance(message, dict):
        _read_message(place, message)
    elif isinstance(choice.get("text"), str):
        place.shape, place.text = "legacy", clean(choice["text"])
    elif "message" not in choice and "text" not in choice:
        return _unknown("the choice has neither a message nor a text")
    logprobs = place.logprobs
    if isinstance(logprobs, dict) and logprobs.get("refusal") and not logprobs.get("content"):
        place.finish = "refusal"
    return place


def _responses(body: dict[str, Any]) -> Place:
    """OpenAI Responses: ``output[].content[]``, the text in one or several parts."""
    details = body.get("incomplete_details")
    ended = details.get("reason") if isinstance(details, dict) else body.get("status")
    place = Place("responses", finish=_finish(ended))
    for item in body["output"]:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if isinstance(kind, str) and kind.endswith("_call"):
            place.finish = "tool"
        elif isinstance(item.get("content"), list) and kind in (None, "message"):
            for part in item["content"]:
                _read_part(place, part)
    return place


def _read_part(place: Place, part: object) -> None:
    if not isinstance(part, dict):
        return
    if part.get("type") == "refusal" or part.get("refusal"):
        place.finish = "refusal"
    if isinstance(part.get("text"), str):
        place.text = (place.text or "") + clean(part["text"])
        logprobs = part.get("logprobs", ABSENT)
        if isinstance(place.logprobs, list) and isinstance(logprobs, list):
            logprobs = place.logprobs + logprobs
        place.logprobs = logprobs


def _gemini(body: dict[str, Any]) -> Place:
    candidates = body.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    feedback = _either(body, "promptFeedback", "prompt_feedback")
    if not isinstance(first, dict):
        blocked = isinstance(feedback, dict) and _either(feedback, "blockReason", "block_reason")
        return Place("gemini", finish="filter" if blocked else None)
    place = Place("gemini", finish=_finish(_either(first, "finishReason", "finish_reason")))
    content = first.get("content")
    _read_parts(place, content.get("parts") if isinstance(content, dict) else None)
    place.logprobs = first.get("logprobsResult", first.get("logprobs_result", ABSENT))
    return place


def _message(body: dict[str, Any]) -> Place:
    """Ollama's ``/api/chat`` and Cohere v2: one message at the top, the logprobs beside it."""
    place = Place("message", finish=_finish(_either(body, "done_reason", "finish_reason")))
    place.logprobs = body.get("logprobs", ABSENT)
    _read_message(place, body["message"])
    return place


def _generate(body: dict[str, Any]) -> Place:
    """Ollama's ``/api/generate``."""
    finish = _finish(body.get("done_reason"))
    return Place("generate", clean(body["response"]), finish, body.get("logprobs", ABSENT))


def _native(body: dict[str, Any]) -> Place:
    """llama.cpp's ``/completion``, with ``n_probs``."""
    text = body.get("content")
    finish = "length" if body.get("stopped_limit") is True else _finish(body.get("stop_type"))
    place = Place("native", clean(text) if isinstance(text, str) else None, finish)
    place.logprobs = body.get("completion_probabilities", ABSENT)
    return place


def _blocks(body: dict[str, Any]) -> Place:
    """Anthropic's messages: typed blocks, never with logprobs."""
    place = Place("blocks", finish=_finish(body.get("stop_reason")), logprobs=body.get("logprobs", ABSENT))
    _read_parts(place, body["content"])
    return place


def _read_message(place: Place, message: dict[str, Any]) -> None:
    content = message.get("content")
    if isinstance(content, str):
        place.text = clean(content)
    else:
        _read_parts(place, content)
    refusal = message.get("refusal")
    if refusal:
        place.finish = "refusal"
        place.text = place.text or (clean(refusal) if isinstance(refusal, str) else None)
    elif message.get("tool_calls") or message.get("function_call"):
        place.finish = "tool"


def _read_parts(place: Place, parts: object) -> None:
    """Join the text parts of a message; a part may also be a thought, a refusal or a tool call."""
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict) or part.get("thought") or part.get("type") == "thinking":
            continue
        if isinstance(part.get("text"), str):
            place.text = (place.text or "") + clean(part["text"])
        if part.get("functionCall") or part.get("function_call") or part.get("type") == "tool_use":
            place.finish = "tool"
        elif part.get("type") == "refusal":
            place.finish = "refusal"


def _finish(reason: object) -> Finish | None:
    return _FINISH.get(reason.lower()) if isinstance(reason, str) else None


def _either(body: dict[str, Any], first: str, second: str) -> Any:
    return body[first] if first in body else body.get(second)


def _unknown(detail: str) -> Unscorable:
    return Unscorable(reason=Reason.UNKNOWN_SHAPE, detail=detail)
