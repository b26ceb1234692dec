"""What callers ask for: request bodies read into plain values, and refused the way OpenAI refuses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from streams.sandbox.model_server.tokens import Decoding

_MOST_ALTERNATIVES = 20
_MOST_TEXTS = 2_048
_DEFAULT_MAX_TOKENS = 16
_INSTRUCTING = ("system", "developer")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class RequestRefused(Exception):
    """A request that gets an error body: its HTTP ``status``, and what the body holds besides the message."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers or {}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request to ``/v1/chat/completions``; ``text`` is the last user message, which is what gets classified."""

    model: str
    text: str
    prompt: tuple[str, ...]
    """The text of every message: what the prompt tokens are counted on."""
    logprobs: bool
    decoding: Decoding
    system: str = ""
    """The text of the system and developer messages."""
    examples: tuple[tuple[str, str], ...] = ()
    """Earlier messages of the user that the assistant answered, each with the answer, in their order."""

    @classmethod
    def parse(cls, body: object) -> ChatRequest:
        """Read a decoded JSON body. Unknown fields are ignored, ``n`` among them. Raises RequestRefused."""
        fields = _object(body)
        messages = fields.get("messages")
        if not isinstance(messages, list) or not messages:
            raise RequestRefused(400, "'messages' must be a non-empty array.", param="messages")
        contents = [_message(message, f"messages[{i}]") for i, message in enumerate(messages)]
        asked = [text for role, text in contents if role == "user"]
        if not asked:
            raise RequestRefused(400, "'messages' must hold a message of the role 'user'.", param="messages")
        logprobs = _flag(fields, "logprobs")
        top = _integer(fields, "top_logprobs", 0, most=_MOST_ALTERNATIVES)
        if fields.get("top_logprobs") is not None and not logprobs:
            raise RequestRefused(400, "'top_logprobs' needs 'logprobs' to be true.", param="top_logprobs")
        limit = "max_tokens" if fields.get("max_completion_tokens") is None else "max_completion_tokens"
        return cls(
            model=_model(fields),
            text=asked[-1],
            prompt=tuple(text for _, text in contents),
            logprobs=logprobs,
            decoding=_decoding(fields, top, _integer(fields, limit, _DEFAULT_MAX_TOKENS, least=1)),
            system="\n".join(text for role, text in contents if role in _INSTRUCTING),
            examples=_examples(contents),
        )


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A request to ``/v1/embeddings``."""

    model: str
    texts: tuple[str, ...]

    @classmethod
    def parse(cls, body: object) -> EmbeddingRequest:
        """Read a decoded JSON body; ``input`` is a text or an array of texts, never tokens. Raises RequestRefused."""
        fields = _object(body)
        given = fields.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
            raise RequestRefused(400, "'input' must be a text or a non-empty array of texts.", param="input")
        if len(texts) > _MOST_TEXTS:
            raise RequestRefused(400, f"'input' may hold at most {_MOST_TEXTS} texts.", param="input")
        if fields.get("encoding_format", "float") != "float":
            raise RequestRefused(400, "'encoding_format' must be 'float'.", param="encoding_format")
        return cls(_model(fields), tuple(texts))


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A request to the legacy ``/v1/completions``; each prompt is classified, and echoed with logprobs on demand."""

    model: str
    prompts: tuple[str, ...]
    logprobs: int | None
    echo: bool
    decoding: Decoding

    @classmethod
    def parse(cls, body: object) -> CompletionRequest:
        """Read a decoded JSON body. Unknown fields are ignored. Raises RequestRefused."""
        fields = _object(body)
        prompt = fields.get("prompt")
        prompts = [prompt] if isinstance(prompt, str) else prompt
        if not isinstance(prompts, list) or not prompts or not all(isinstance(text, str) for text in prompts):
            raise RequestRefused(400, "'prompt' must be a string or an array of strings.", param="prompt")
        logprobs = None
        if fields.get("logprobs") is not None:
            logprobs = _integer(fields, "logprobs", 0, most=_MOST_ALTERNATIVES)
        return cls(
            model=_model(fields),
            prompts=tuple(prompts),
            logprobs=logprobs,
            echo=_flag(fields, "echo"),
            decoding=_decoding(fields, logprobs or 0, _integer(fields, "max_tokens", _DEFAULT_MAX_TOKENS)),
        )


def _examples(contents: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return what the user said before the last user message and was answered, each with the answer."""
    last = max(place for place, (role, _) in enumerate(contents) if role == "user")
    return tuple(
        (said, answered)
        for (role, said), (next_role, answered) in pairwise(contents[:last])
        if (role, next_role) == ("user", "assistant") and answered
    )


def _object(body: object) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise RequestRefused(400, "The request body must be a JSON object.")
    if body.get("stream"):
        raise RequestRefused(400, "This server does not stream: leave 'stream' out.", param="stream")
    return body


def _model(fields: Mapping[str, Any]) -> str:
    model = fields.get("model")
    if not isinstance(model, str) or not model:
        raise RequestRefused(400, "You must provide a 'model' parameter.", param="model")
    return model


def _message(message: object, where: str) -> tuple[str, str]:
    """Return the role and the text of one message."""
    if not isinstance(message, dict) or message.get("role") not in _ROLES:
        raise RequestRefused(400, f"'{where}' needs a 'role' of {', '.join(_ROLES)}.", param=f"{where}.role")
    content = message.get("content")
    if isinstance(content, str):
        return message["role"], content
    if content is None and message["role"] == "assistant":
        return "assistant", ""
    if isinstance(content, list) and all(map(_is_text_part, content)):
        return message["role"], "".join(part["text"] for part in content)
    raise RequestRefused(400, f"'{where}.content' must be a string or text parts.", param=f"{where}.content")


def _is_text_part(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _flag(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestRefused(400, f"'{name}' must be true or false.", param=name)
    return bool(value)


def _integer(fields: Mapping[str, Any], name: str, default: int, *, least: int = 0, most: int = 1_000_000) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RequestRefused(400, f"'{name}' must be an integer from {least} to {most}, not {value!r}.", param=name)
    return value


def _decoding(fields: Mapping[str, Any], top: int, max_tokens: int) -> Decoding:
    temperature = 1.0 if fields.get("temperature") is None else fields["temperature"]
    if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0.0 <= temperature <= 2.0:
        raise RequestRefused(400, f"'temperature' must be from 0 to 2, not {temperature!r}.", param="temperature")
    seed = fields.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise RequestRefused(400, "'seed' must be an integer.", param="seed")
    return Decoding(top, float(temperature), max_tokens, seed)
