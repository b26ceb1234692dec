"""Where each kind of body keeps its answer. The kind is told by what is in the body, not by who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Finish
from streams.core.signal.thought import says_thought
from streams.core.signal.token_bytes import clean
from streams.core.signal.tokens import ABSENT

_FINISH: dict[str, Finish] = {
    **dict.fromkeys(("stop", "end_turn", "eos", "eos_token", "stop_sequence", "complete", "completed", "word", "finish"), "stop"),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "model_length", "limit", "incomplete", "token_limit",
         "time_limit", "not_finished"),
        "length",
    ),
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
    **dict.fromkeys(("cut", "in_progress", "queued"), "cut"),
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
    thought: str | None = None
    """The reasoning that stands in a field of its own."""


def find(body: dict[str, Any]) -> Place | Unscorable:
    """Return where the answer is, or why the body has none: an error, or no shape that is known."""
    if body.get("error") or body.get("object") == "error":
        return Unscorable(reason=Reason.ERROR_BODY, detail="the body is an error")
    for key, kind, read in (
        ("choices", list, _choice),
        ("output", list, _responses),
        ("output", dict, _converse),
        ("candidates", list, _gemini),
        ("promptFeedback", dict, _gemini),
        ("prompt_feedback", dict, _gemini),
        ("message", dict, _message),
        ("meta_info", dict, _sglang),
        ("generated_text", str, _tgi),
        ("results", list, _results),
        ("outputs", list, _results),
        ("generations", list, _results),
        ("generation", str, _bedrock),
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
        _read_message(place, message | {"channel": choice["channel"]} if "channel" in choice else message)
    elif isinstance(choice.get("text"), str):
        place.shape, place.text = "legacy", clean(choice["text"])
        _read_thought(place, choice)
    elif "message" not in choice and "text" not in choice:
        return _unknown("the choice has neither a message nor a text")
    logprobs = place.logprobs
    if isinstance(logprobs, dict) and logprobs.get("refusal") and not logprobs.get("content"):
        place.finish = "refusal"
    if "content_filter_results" in choice or "prompt_filter_results" in body:
        prompts = body.get("prompt_filter_results")
        if any(map(_is_filtered, [choice, *(prompts if isinstance(prompts, list) else ())])):
            place.finish = "filter"
    return place


def _is_filtered(holder: object) -> bool:
    """Return whether Azure's content filter, which may speak after the answer, says that it filtered something."""
    results = holder.get("content_filter_results") if isinstance(holder, dict) else None
    judged = results.values() if isinstance(results, dict) else ()
    return any(isinstance(each, dict) and each.get("filtered") is True for each in judged)


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
        elif kind == "reasoning" or _is_side_channel(item):
            _add_thought(place, item.get("content"))
        elif item.get("role") not in (None, "assistant"):
            continue
        elif isinstance(item.get("content"), list) and kind in (None, "message"):
            for part in item["content"]:
                _read_part(place, part)
    return place


def _is_side_channel(message: dict[str, Any]) -> bool:
    """Return whether a message says that it is not the answer: harmony's channel, or the phase of OpenAI's Responses."""
    if "channel" not in message and "phase" not in message:
        return False
    named = [message[key] for key in ("channel", "phase") if isinstance(message.get(key), str)]
    return any(name.lower() not in _ANSWER_CHANNELS for name in named)


_ANSWER_CHANNELS = ("final", "final_answer", "answer", "")


def _read_part(place: Place, part: object) -> None:
    if not isinstance(part, dict):
        return
    kind = part.get("type")
    if kind == "refusal" or part.get("refusal"):
        place.finish = "refusal"
    if isinstance(kind, str) and (says_thought(kind) or kind.startswith("summary")):
        _add_thought(place, part)
        return
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
    ended = "cut" if body.get("done") is False else _either(body, "done_reason", "finish_reason")
    place = Place("message", finish=_finish(ended))
    place.logprobs = body.get("logprobs", ABSENT)
    _read_message(place, body["message"])
    return place


def _converse(body: dict[str, Any]) -> Place | Unscorable:
    """Bedrock's Converse: a message of typed parts, never with logprobs."""
    message = body["output"].get("message")
    if not isinstance(message, dict):
        return _unknown("the output holds no message")
    place = Place("bedrock", finish=_finish(body.get("stopReason")))
    _read_message(place, message)
    return place


def _bedrock(body: dict[str, Any]) -> Place:
    """Bedrock's imported models and Llama: a list of dicts by token id, which seldom say what the tokens spell."""
    place = Place("bedrock", clean(body["generation"]), _finish(body.get("stop_reason")))
    place.logprobs = body.get("logprobs", ABSENT)
    return place


def _results(body: dict[str, Any]) -> Place | Unscorable:
    """watsonx's text generation, and Bedrock's Titan, Mistral and Cohere: a list of results, of which one is read."""
    listed = next(body[key] for key in ("results", "outputs", "generations") if isinstance(body.get(key), list))
    result = listed[0] if listed and isinstance(listed[0], dict) else {}
    text = next(
        (result[key] for key in ("generated_text", "outputText", "text") if isinstance(result.get(key), str)), None
    )
    if text is None or len(listed) > 1:
        return _unknown("the result has no text" if text is None else "the body holds several results")
    reason = next((result[key] for key in ("stop_reason", "completionReason", "finish_reason") if key in result), None)
    place = Place("watsonx" if "generated_text" in result else "bedrock", clean(text), _finish(reason))
    if _is_moderated(result.get("moderations")):
        place.finish = "filter"
    place.logprobs = result.get("generated_tokens", result.get("token_likelihoods", ABSENT))
    return place


def _is_moderated(moderations: object) -> bool:
    """Return whether watsonx's moderation found something in the answer, and not only in what was sent."""
    kinds = moderations.values() if isinstance(moderations, dict) else ()
    found = (each for kind in kinds if isinstance(kind, list) for each in kind)
    return any(isinstance(each, dict) and each.get("input") is not True for each in found)


def _sglang(body: dict[str, Any]) -> Place:
    """SGLang's ``/generate``: lists of ``[logprob, id, text]``, and beside them the lists of the likeliest."""
    info, text = body["meta_info"], body.get("text")
    reason = info.get("finish_reason")
    place = Place("sglang", clean(text) if isinstance(text, str) else None)
    place.finish = _finish(reason.get("type") if isinstance(reason, dict) else reason or "cut")
    place.logprobs = info.get("output_token_logprobs", ABSENT)
    if isinstance(place.logprobs, list):
        place.logprobs = {"triples": place.logprobs, "top_triples": info.get("output_top_logprobs")}
    return place


def _tgi(body: dict[str, Any]) -> Place:
    """Text Generation Inference's ``/generate``, with ``details``."""
    details = body.get("details")
    place = Place("tgi", clean(body["generated_text"]))
    if isinstance(details, dict):
        place.finish = _finish(details.get("finish_reason"))
        place.logprobs = details.get("tokens", ABSENT)
        if isinstance(place.logprobs, list):
            place.logprobs = {"chosen": place.logprobs, "top": details.get("top_tokens")}
    return place


def _generate(body: dict[str, Any]) -> Place:
    """Ollama's ``/api/generate``."""
    finish = _finish("cut" if body.get("done") is False else body.get("done_reason"))
    place = Place("generate", clean(body["response"]), finish, body.get("logprobs", ABSENT))
    _read_thought(place, body)
    return place


def _native(body: dict[str, Any]) -> Place:
    """llama.cpp's ``/completion``, with ``n_probs``."""
    text = body.get("content")
    finish = "length" if body.get("stopped_limit") is True else _finish(body.get("stop_type"))
    if body.get("stop") is False:
        finish = "cut"
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
    if _is_side_channel(message):
        _add_thought(place, content)
    elif isinstance(content, str):
        place.text = clean(content)
    else:
        _read_parts(place, content)
    _read_thought(place, message)
    refusal = message.get("refusal")
    if refusal:
        place.finish = "refusal"
        place.text = place.text or (clean(refusal) if isinstance(refusal, str) else None)
    elif message.get("tool_calls") or message.get("function_call"):
        place.finish = "tool"


def _read_thought(place: Place, holder: dict[str, Any]) -> None:
    """Keep the reasoning that a message holds beside its answer."""
    for key in _THOUGHT_KEYS:
        if key in holder and isinstance(holder[key], str) and holder[key]:
            place.thought = clean(holder[key])
            return


_THOUGHT_KEYS = ("reasoning_content", "reasoning", "thinking", "thought", "reasoning_text")


def _read_parts(place: Place, parts: object) -> None:
    """Join the text parts of a message; a part may also be a thought, a refusal or a tool call."""
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if part.get("thought") or "reasoningContent" in part or (isinstance(kind, str) and says_thought(kind)):
            _add_thought(place, part)
            continue
        if isinstance(part.get("text"), str):
            place.text = (place.text or "") + clean(part["text"])
        if part.get("functionCall") or part.get("function_call") or part.get("toolUse") or kind == "tool_use":
            place.finish = "tool"
        elif kind == "refusal":
            place.finish = "refusal"


def _add_thought(place: Place, node: object) -> None:
    place.thought = (place.thought or "") + _all_text(node)


def _all_text(node: object, depth: int = 6) -> str:
    """Join every text in a thought's part, whatever a provider wraps it in."""
    if isinstance(node, str):
        return clean(node)
    if depth and isinstance(node, dict):
        inner = [value for key, value in node.items() if key not in ("type", "signature", "id")]
        return "".join(_all_text(value, depth - 1) for value in inner)
    return "".join(_all_text(value, depth - 1) for value in node) if depth and isinstance(node, list) else ""


def _finish(reason: object) -> Finish | None:
    return _FINISH.get(reason.lower()) if isinstance(reason, str) else None


def _either(body: dict[str, Any], first: str, second: str) -> Any:
    return body[first] if first in body else body.get(second)


def _unknown(detail: str) -> Unscorable:
    return Unscorable(reason=Reason.UNKNOWN_SHAPE, detail=detail)
