"""Response bodies in OpenAI's shapes, as plain dicts ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from streams.sandbox.model.tokens import Answer, GeneratedToken

FINGERPRINT = "fp_hedgerow_sandbox"

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a body says beside its answer: its id, the time in seconds since 1970, and the dated model id."""

    id: str
    created: int
    model: str


@dataclass(frozen=True, slots=True)
class EchoedToken:
    """A token of the prompt; ``logprob`` is None for the first, which nothing precedes."""

    token: str
    logprob: float | None
    top: dict[str, float] | None


def chat_body(envelope: Envelope, answer: Answer, *, logprobs: bool, prompt_tokens: int) -> Body:
    """Return the body of a chat completion; ``logprobs`` is null unless asked for."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": answer.text, "refusal": None, "annotations": []},
        "logprobs": {"content": [_entry(token) for token in answer.tokens], "refusal": None} if logprobs else None,
        "finish_reason": _finish_reason(answer),
    }
    return _body("chat.completion", envelope, [choice], prompt_tokens, len(answer.tokens))


def completion_body(envelope: Envelope, choices: Sequence[Body], *, prompt_tokens: int, completion_tokens: int) -> Body:
    """Return the body of a legacy completion, a choice for each prompt."""
    return _body("text_completion", envelope, list(choices), prompt_tokens, completion_tokens)


def completion_choice(index: int, echoed: Sequence[EchoedToken], answer: Answer, *, start: int, logprobs: bool) -> Body:
    """Return one choice of a legacy completion: the echoed prompt tokens, then the answer.

    ``start`` is the offset in characters of the choice's first token: 0 with an echo, else the prompt's length.
    """
    tokens = [echo.token for echo in echoed] + [token.token for token in answer.tokens]
    choice: Body = {"index": index, "text": "".join(tokens), "logprobs": None, "finish_reason": _finish_reason(answer)}
    if logprobs:
        offsets = [start]
        for token in tokens[:-1]:
            offsets.append(offsets[-1] + len(token))
        choice["logprobs"] = {
            "tokens": tokens,
            "token_logprobs": [echo.logprob for echo in echoed] + [token.logprob for token in answer.tokens],
            # The chosen token is listed also when it is not among the top k, so a list may hold k + 1.
            "top_logprobs": [echo.top for echo in echoed]
            + [dict(token.top) | {token.token: token.logprob} for token in answer.tokens],
            "text_offset": offsets[: len(tokens)],
        }
    return choice


def models_body(ids: Sequence[str], created: int) -> Body:
    """Return the list of models."""
    models = [{"id": name, "object": "model", "created": created, "owned_by": "hedgerow"} for name in ids]
    return {"object": "list", "data": models}


def error_body(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> Body:
    """Return an error body."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _body(kind: str, envelope: Envelope, choices: list[Body], prompt_tokens: int, completion_tokens: int) -> Body:
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
            "prompt_tokens_details": {"cached_tokens": 0},
        },
        "system_fingerprint": FINGERPRINT,
    }


def _finish_reason(answer: Answer) -> str:
    return "length" if answer.cut else "stop"


def _entry(token: GeneratedToken) -> Body:
    top = [{"token": text, "logprob": logprob, "bytes": _utf8(text)} for text, logprob in token.top]
    return {"token": token.token, "logprob": token.logprob, "bytes": _utf8(token.token), "top_logprobs": top}


@lru_cache(maxsize=4096)
def _utf8(token: str) -> tuple[int, ...]:
    return tuple(token.encode())
