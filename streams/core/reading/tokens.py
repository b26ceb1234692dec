"""From the logprobs part of a body, in whatever shape it came, to tokens."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.reading.answer import Token
from streams.core.reading.numbers import IMPOSSIBLE, log_of_probability, log_probability
from streams.core.reading.pieces import piece

#: Stands for a key that is not there, which is another thing than null.
ABSENT: Any = object()

_LOGPROB_KEYS = ("logprob", "logProbability", "log_probability")
_TOKEN_KEYS = ("token", "tok_str", "text", "content")
_ALTERNATIVES_KEYS = ("top_logprobs", "top_probs", "probs")
_UNEVEN = Unscorable(reason=Reason.MISALIGNED, detail="there are not as many logprobs as tokens")


def read_tokens(logprobs: object) -> tuple[Token, ...] | Unscorable:
    """Return the tokens of a logprobs value of any known shape, chosen by its content.

    The shapes are a list of entries (chat, Responses, Ollama, llama.cpp, Cohere), the legacy parallel lists, and
    Gemini's chosen and top candidates.
    """
    if logprobs is ABSENT:
        return Unscorable(reason=Reason.LOGPROBS_ABSENT, detail="the body has no logprobs")
    if logprobs is None:
        return Unscorable(reason=Reason.LOGPROBS_NULL, detail="logprobs is null")
    if isinstance(logprobs, dict):
        tokens = _of_dict(logprobs)
    elif isinstance(logprobs, list):
        tokens = _of_entries(logprobs)
    else:
        return Unscorable(reason=Reason.LOGPROBS_EMPTY, detail="logprobs is neither a list nor an object")
    return tokens if isinstance(tokens, Unscorable) else _checked(tokens)


def entry_logprob(entry: dict[str, Any]) -> float | None:
    """Return the logprob of one listed token, as ``log_probability`` does."""
    for key in _LOGPROB_KEYS:
        if key in entry:
            return log_probability(entry[key])
    return log_of_probability(entry.get("prob"))


def entry_piece(entry: dict[str, Any]) -> str | None:
    """Return the text of one listed token, or None."""
    token = next((entry[key] for key in _TOKEN_KEYS if key in entry), None)
    return piece(token, entry.get("bytes"))


def _checked(tokens: list[Token]) -> tuple[Token, ...] | Unscorable:
    if not tokens:
        return Unscorable(reason=Reason.LOGPROBS_EMPTY, detail="logprobs holds no token")
    if any(token.logprob == IMPOSSIBLE for token in tokens):
        return Unscorable(reason=Reason.IMPOSSIBLE_LOGPROB, detail="a token's logprob is above zero or not a number")
    if not any(token.listed for token in tokens):
        return Unscorable(reason=Reason.NO_ALTERNATIVES, detail="no token has alternatives")
    return tuple(tokens)


def _of_dict(logprobs: dict[str, Any]) -> list[Token] | Unscorable:
    content = logprobs.get("content", ABSENT)
    if isinstance(content, list) and content:
        return _of_entries(content)
    if isinstance(logprobs.get("tokens"), list):
        return _of_parallel_lists(logprobs)
    if isinstance(_either(logprobs, "chosenCandidates", "chosen_candidates"), list):
        return _of_candidates(logprobs)
    if content is None:
        return Unscorable(reason=Reason.LOGPROBS_NULL, detail="logprobs.content is null")
    return Unscorable(reason=Reason.LOGPROBS_EMPTY, detail="logprobs holds no token")


def _of_entries(entries: list[Any]) -> list[Token]:
    return [_of_entry(entry) for entry in entries]


def _of_entry(entry: object) -> Token:
    if not isinstance(entry, dict):
        return Token(text=None, logprob=None)
    nested = entry.get("logprobs")
    if isinstance(nested, list) and "token" not in entry:  # Cohere: one text, a list of logprobs, no alternatives
        return Token(text=entry_piece(entry), logprob=log_probability(nested[0] if nested else None))
    listed = next((entry[key] for key in _ALTERNATIVES_KEYS if key in entry), None)
    return Token(text=entry_piece(entry), logprob=entry_logprob(entry), listed=listed)


def _of_parallel_lists(logprobs: dict[str, Any]) -> list[Token] | Unscorable:
    tokens, own, top = logprobs["tokens"], logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
    own = own if isinstance(own, list) else []
    if isinstance(top, dict):
        # One dict for the whole answer: it belongs to the first token that it lists.
        at = next((i for i, token in enumerate(tokens) if _lists(top, token)), 0)
        top = [None] * at + [top]
    elif not isinstance(top, list):
        top = []
    elif len(top) != len(tokens) and not all(map(_lists, top, tokens)):
        return _UNEVEN
    if len(own) not in (0, len(tokens)) or len(top) > len(tokens):
        return _UNEVEN
    rows = zip_longest(tokens, own, top)
    return [Token(piece(token, None), log_probability(logprob), listed) for token, logprob, listed in rows]


def _of_candidates(logprobs: dict[str, Any]) -> list[Token] | Unscorable:
    tokens = _of_entries(_either(logprobs, "chosenCandidates", "chosen_candidates"))
    top = _either(logprobs, "topCandidates", "top_candidates")
    if not isinstance(top, list) or not top:
        return tokens
    if len(top) != len(tokens):
        return _UNEVEN
    lists = [row.get("candidates") if isinstance(row, dict) else None for row in top]
    return [Token(token.text, token.logprob, listed) for token, listed in zip(tokens, lists, strict=True)]


def _lists(top: object, token: object) -> bool:
    return isinstance(top, dict) and isinstance(token, str) and token in top


def _either(body: dict[str, Any], first: str, second: str) -> Any:
    return body[first] if first in body else body.get(second)
