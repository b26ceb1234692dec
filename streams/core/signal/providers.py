"""Where each kind of body keeps its answer. The kind is told by what is in the body, not by who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Finish
from streams.core.signal.stream import is_error
from streams.core.signal.thought import says_thought
from streams.core.signal.token_bytes import clean
from streams.core.signal.tokens import ABSENT

#: Every known way to end. An unknown one is an error: nobody can tell whether the answer was stopped.
_FINISH: dict[str, Finish | None] = {
    **dict.fromkeys(
        ("stop", "end_turn", "eos", "eos_token", "eosfound", "stop_sequence", "stopstringfound", "stop_token", "complete",
         "completed", "word", "finish", "finished", "end", "endoftext", "done"),
        "stop",
    ),
    **dict.fromkeys(
        ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "limit", "incomplete", "token_limit",
         "time_limit", "not_finished", "maxpredictedtokensreached", "contextlengthreached",
         "model_context_window_exceeded"),
        "length",
    ),
    **dict.fromkeys(
        ("content_filter", "content_filtered", "safety", "recitation", "blocklist", "prohibited_content", "spii",
         "image_safety", "error_toxic", "guardrail_intervened", "guardrails", "moderation", "filter", "filtered",
         "sensitive", "blocked", "model_armor"),
        "filter",
    ),
    **dict.fromkeys(
        ("tool_calls", "tool_call", "tool_use", "function_call", "malformed_function_call", "malformed_tool_use",
         "unexpected_tool_call", "too_many_tool_calls", "requires_action", "pause_turn"),
        "tool",
    ),
    "refusal": "refusal",
    **dict.fromkeys(("cut", "in_progress", "queued", "finish_reason_unspecified"), "cut"),
    **dict.fromkeys(("", "null", "none"), None),
}  # fmt: skip
#: What a part of a message is called if it holds the answer's text.
_TEXT_PARTS = (None, "", "text", "output_text")
#: Who may have written the answer.
_AUTHORS = (None, "", "assistant", "model", "chatbot", "bot", "ai")
#: Harmony's channels and the phases of OpenAI's Responses that hold the answer.
_ANSWER_CHANNELS = ("final", "final_answer", "answer", "")
_THOUGHT_KEYS = (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "reasoning_text",
    "reasoning_details",
    "thinking_blocks",
)
_ANY_THOUGHT_KEY = frozenset(_THOUGHT_KEYS)
_SIDE_KEYS = frozenset({"thought", "is_thought", "reasoningContent", "type", "channel", "phase"})
#: A verdict of a filter lies no deeper than this in what a provider says of it.
_DEPTH = 6


@dataclass(slots=True)
class Place:
    """An answer found in a body, its logprobs not read yet."""

    shape: str
    text: str | None = None
    finish: Finish | None = None
    logprobs: Any = ABSENT
    """The logprobs value as it came, or ABSENT."""
    thought: str | None = None
    """The reasoning that stands in a separate field."""


def find(body: dict[str, Any]) -> Place | Unscorable:
    """Return where the answer is, or why the body has none: an error, or no shape that is known."""
    if is_error(body):
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
    if isinstance(place.logprobs, dict) and place.logprobs.get("refusal"):
        place.finish = "refusal"
    native = choice.get("native_finish_reason")  # OpenRouter: what the provider behind it said
    if isinstance(native, str) and _finish(native) in ("filter", "refusal", "length"):
        place.finish = _finish(native)
    if not (_FILTERS.isdisjoint(choice) and _FILTERS.isdisjoint(body)) and _is_filtered(
        [holder.get(key) for holder in (choice, body) for key in _FILTERS]
    ):
        place.finish = "filter"
    return place


#: Where Azure's content filter speaks, which may be after the answer.
_FILTERS = frozenset({"content_filter_results", "content_filter_result", "content_filters", "prompt_filter_results"})


def _is_filtered(verdict: object, depth: int = _DEPTH) -> bool:
    """Return whether a filter says anywhere that it filtered or blocked something."""
    if isinstance(verdict, dict):
        if verdict.get("filtered") is True or verdict.get("blocked") is True:
            return True
        verdict = list(verdict.values())
    return isinstance(verdict, list) and depth > 0 and any(_is_filtered(each, depth - 1) for each in verdict)


def _responses(body: dict[str, Any]) -> Place:
    """OpenAI Responses: ``output[].content[]``, the text in one or several parts."""
    details = body.get("incomplete_details")
    ended = details.get("reason") if isinstance(details, dict) else body.get("status")
    place = Place("responses", finish=_finish(ended))
    for item in body["output"]:
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind in (None, "message"):
            _read_message(place, item)
            if item.get("status") == "incomplete" and place.finish == "stop":
                place.finish = "length"
        elif kind == "reasoning":
            _add_thought(place, item.get("content"))
        elif isinstance(kind, str) and kind.endswith(("_call", "_request")):
            place.finish = "tool"
    if "content_filters" in body and _is_filtered(body["content_filters"]):
        place.finish = "filter"
    return place


def _is_side_channel(holder: dict[str, Any]) -> bool:
    """Return whether a message or a part of one says that it is not the answer."""
    if _SIDE_KEYS.isdisjoint(holder):
        return False
    if holder.get("thought") or holder.get("is_thought") or "reasoningContent" in holder:
        return True
    kind = holder.get("type")
    if isinstance(kind, str) and (says_thought(kind) or kind.startswith("summary")):
        return True
    named = [holder[key] for key in ("channel", "phase") if isinstance(holder.get(key), str)]
    return any(name.lower() not in _ANSWER_CHANNELS for name in named)


def _gemini(body: dict[str, Any]) -> Place:
    candidates = body.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    feedback = _either(body, "promptFeedback", "prompt_feedback")
    feedback = feedback if isinstance(feedback, dict) else {}
    first = first if isinstance(first, dict) else {}
    place = Place("gemini")
    if first:  # without a reason the model has not stopped
        place.finish = _finish(_either(first, "finishReason", "finish_reason") or "cut")
    content = first.get("content")
    if isinstance(content, dict) and content.get("role") in _AUTHORS:
        _read_parts(place, content.get("parts"))
    place.logprobs = first.get("logprobsResult", first.get("logprobs_result", ABSENT))
    ratings = [_either(holder, "safetyRatings", "safety_ratings") for holder in (feedback, first)]
    if _either(feedback, "blockReason", "block_reason") or _is_filtered(ratings):
        place.finish = "filter"
    return place


def _message(body: dict[str, Any]) -> Place:
    """Ollama's ``/api/chat`` and Cohere v2: one message at the top, the logprobs next to it."""
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
    """SGLang's ``/generate``: lists of ``[logprob, id, text]``, and next to them the lists of the likeliest."""
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
    role = message.get("role")
    if role not in _AUTHORS:
        if isinstance(role, str) and says_thought(role):
            _add_thought(place, message.get("content"))
        return
    content = message.get("content")
    if _is_side_channel(message):
        _add_thought(place, content)
    elif isinstance(content, str):
        place.text = (place.text or "") + clean(content)
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
    if _ANY_THOUGHT_KEY.isdisjoint(holder):
        return
    for key in _THOUGHT_KEYS:
        if holder.get(key) and isinstance(holder[key], str | list):
            _add_thought(place, holder[key])
            return


def _read_parts(place: Place, parts: object) -> None:
    """Join the text parts of a message; a part may also be a thought, a refusal, a tool call or something else."""
    for part in parts if isinstance(parts, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if _is_side_channel(part):
            _add_thought(place, part)
        elif kind == "refusal" or part.get("refusal"):
            place.finish = "refusal"
        elif kind in _TOOL_PARTS or any(part.get(key) for key in _TOOL_KEYS):
            place.finish = "tool"
        elif kind in _TEXT_PARTS and isinstance(part.get("text"), str):
            place.text = (place.text or "") + clean(part["text"])
            if place.shape == "responses":
                _add_logprobs(place, part)


_TOOL_PARTS = ("tool_use", "server_tool_use", "tool_call", "function_call")
_TOOL_KEYS = ("functionCall", "function_call", "toolUse", "executableCode", "executable_code")


def _add_logprobs(place: Place, part: dict[str, Any]) -> None:
    """Join the logprobs of text parts, which OpenAI's Responses give with each part."""
    logprobs = part.get("logprobs", ABSENT)
    if isinstance(place.logprobs, list) and isinstance(logprobs, list):
        place.logprobs.extend(logprobs)
    else:
        place.logprobs = list(logprobs) if isinstance(logprobs, list) else logprobs


def _add_thought(place: Place, node: object) -> None:
    place.thought = (place.thought or "") + _all_text(node)


def _all_text(node: object, depth: int = 6) -> str:
    """Join every text in a thought's part, whatever a provider wraps it in."""
    if isinstance(node, str):
        return clean(node)
    if depth and isinstance(node, dict):
        inner = [value for key, value in node.items() if key not in ("type", "signature", "id", "format", "data")]
        return "".join(_all_text(value, depth - 1) for value in inner)
    return "".join(_all_text(value, depth - 1) for value in node) if depth and isinstance(node, list) else ""


def _finish(reason: object) -> Finish | None:
    return _FINISH.get(reason.strip().lower(), "error") if isinstance(reason, str) else None


def _either(body: dict[str, Any], first: str, second: str) -> Any:
    return body[first] if first in body else body.get(second)


def _unknown(detail: str) -> Unscorable:
    return Unscorable(reason=Reason.UNKNOWN_SHAPE, detail=detail)
