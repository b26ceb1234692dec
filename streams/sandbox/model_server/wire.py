"""Response bodies in OpenAI's shapes, as plain dicts ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streams.sandbox.model_server.tokens import Answer, GeneratedToken

FINGERPRINT = "fp_hedgerow_sandbox"

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a body says besides its answer: its id, the time in seconds since 1970, and the dated model id."""

    id: str
    created: int
    model: str


@dataclass(frozen=True, slots=True)
class EchoedToken:
    """A token of the prompt; ``logprob`` is None for the first, which nothing precedes."""

    token: str
    logprob: float | None
    top: dict[str, float] | None


@dataclass(frozen=True, slots=True)
class Spoken:
    """One answer with the tokens that it took, counted by the model's own tokenizer.

    ``echoed`` is the prompt, if a completion request asked for it.
    """

    answer: Answer
    prompt_tokens: int
    """Of what the caller sent."""
    completion_tokens: int
    cached_tokens: int = 0
    """Those of the prompt tokens that the model had read before."""
    echoed: tuple[EchoedToken, ...] = ()


def chat_body(envelope: Envelope, spoken: Spoken, *, logprobs: bool) -> Body:
    """Return the body of a chat completion; ``logprobs`` is null unless asked for."""
    answer = spoken.answer
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": _shown(answer.text), "refusal": None, "annotations": []},
        "logprobs": {"content": [_entry(token) for token in answer.tokens], "refusal": None} if logprobs else None,
        "finish_reason": _finish_reason(answer),
    }
    return _body("chat.completion", envelope, [choice], [spoken])


def completion_body(envelope: Envelope, choices: Sequence[tuple[str, Spoken]], *, echo: bool, logprobs: bool) -> Body:
    """Return the body of a legacy completion, a choice for each prompt and what was spoken after it."""
    bodies = [
        _completion_choice(index, spoken, start=0 if echo else len(prompt), logprobs=logprobs)
        for index, (prompt, spoken) in enumerate(choices)
    ]
    return _body("text_completion", envelope, bodies, [spoken for _, spoken in choices])


def _completion_choice(index: int, spoken: Spoken, *, start: int, logprobs: bool) -> Body:
    """Return one choice: the echoed prompt tokens, then the answer; ``start`` is the first token's offset."""
    echoed, answer = spoken.echoed, spoken.answer
    tokens = [echo.token for echo in echoed] + [token.token for token in answer.tokens]
    text = _shown("".join(tokens))
    choice: Body = {"index": index, "text": text, "logprobs": None, "finish_reason": _finish_reason(answer)}
    if logprobs:
        offsets = [start]
        for token in tokens[:-1]:
            offsets.append(offsets[-1] + len(token))
        choice["logprobs"] = {
            "tokens": [_escaped(token) for token in tokens],
            "token_logprobs": [echo.logprob for echo in echoed] + [token.logprob for token in answer.tokens],
            # The chosen token is listed also when it is not among the top k, so a list may hold k + 1.
            "top_logprobs": [echo.top and _escaped_keys(echo.top) for echo in echoed]
            + [_escaped_keys(by_text(token.top) | {token.token: token.logprob}) for token in answer.tokens],
            "text_offset": offsets[: len(tokens)],
        }
    return choice


def by_text(tokens: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Return the tokens as a dict, the likeliest of those that look the same; they come with the likeliest first."""
    found: dict[str, float] = {}
    for text, logprob in tokens:
        found.setdefault(text, logprob)
    return found


def embeddings_body(model: str, vectors: Sequence[Sequence[float]], prompt_tokens: int) -> Body:
    """Return the body of an embeddings answer."""
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    usage = {"prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens}
    return {"object": "list", "model": model, "data": data, "usage": usage}


def models_body(ids: Sequence[str], created: int) -> Body:
    """Return the list of models."""
    models = [{"id": name, "object": "model", "created": created, "owned_by": "hedgerow"} for name in ids]
    return {"object": "list", "data": models}


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> Body:
    """Return an error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _body(kind: str, envelope: Envelope, choices: list[Body], spoken: Sequence[Spoken]) -> Body:
    prompt_tokens = sum(one.prompt_tokens for one in spoken)
    completion_tokens = sum(one.completion_tokens for one in spoken)
    return {
        "id": envelope.id,
        "object": kind,
        "created": envelope.created,
        "model": envelope.model,
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
            "prompt_tokens_details": {"cached_tokens": sum(one.cached_tokens for one in spoken)},
        },
        "system_fingerprint": FINGERPRINT,
    }


def _finish_reason(answer: Answer) -> str:
    return "length" if answer.cut else "stop"


def _entry(token: GeneratedToken) -> Body:
    top = [{"token": _shown(text), "logprob": logprob, "bytes": _utf8(text)} for text, logprob in token.top]
    return {
        "token": _shown(token.token),
        "logprob": token.logprob,
        "bytes": _utf8(token.token),
        "top_logprobs": top,
    }


@lru_cache(maxsize=4096)
def _utf8(token: str) -> tuple[int, ...]:
    return tuple(token.encode("utf-8", "surrogateescape"))


def _shown(text: str) -> str:
    """Return text as JSON can carry it: bytes that are no whole character become the replacement character."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _escaped(token: str) -> str:
    """Return a token for the shape that has no bytes: part of a character as OpenAI writes it, ``bytes:\\xe2\\x80``."""
    shown = _shown(token)
    if shown == token:
        return token
    return "bytes:" + "".join(f"\\x{byte:02x}" for byte in _utf8(token))


def _escaped_keys(top: dict[str, float]) -> dict[str, float]:
    return {_escaped(token): logprob for token, logprob in top.items()}
