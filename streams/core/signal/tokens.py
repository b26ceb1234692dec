"""From the logprobs part of a body, in whatever shape it came, to tokens."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Token
from streams.core.signal.numbers import FLOOR, IMPOSSIBLE, log_of_probability, log_probability
from streams.core.signal.token_bytes import piece

#: Stands for a key that is not there, which is another thing than null.
ABSENT: Any = object()

_LOGPROB_KEYS = ("logprob", "logProbability", "log_probability")
_TOKEN_KEYS = ("token", "tok_str", "text", "content")
_ALTERNATIVES_KEYS = ("top_logprobs", "top_probs", "top_tokens", "probs")
_UNEVEN = Unscorable(reason=Reason.MISALIGNED, detail="there are not as many logprobs as tokens")


def read_tokens(logprobs: object) -> tuple[Token, ...] | Unscorable:
    """Return the tokens of a logprobs value of any known shape, chosen by its content.

    The shapes are a list of entries (chat, Responses, Ollama, llama.cpp, watsonx, Cohere), the legacy parallel lists,
    Gemini's chosen and top candidates, TGI's chosen and top tokens, SGLang's triples, and a list of dicts by token id.
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
    value = entry.get("logprob")
    if type(value) is float and FLOOR < value <= 0:
        return value
    for key in _LOGPROB_KEYS:
        if key in entry:
            return log_probability(entry[key])
    return log_of_probability(entry.get("prob"))


def entry_piece(entry: dict[str, Any]) -> str | None:
    """Return the text of one listed token, or None."""
    token = entry["token"] if "token" in entry else next((entry[key] for key in _TOKEN_KEYS if key in entry), None)
    return piece(token, entry.get("bytes"))


def _checked(tokens: list[Token]) -> tuple[Token, ...] | Unscorable:
    if not tokens:
        return Unscorable(reason=Reason.LOGPROBS_EMPTY, detail="logprobs holds no token")
    if IMPOSSIBLE in [token.logprob for token in tokens]:
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
    chosen = _either(logprobs, "chosenCandidates", "chosen_candidates")
    if isinstance(chosen, list):
        top = _either(logprobs, "topCandidates", "top_candidates")
        rows = top if isinstance(top, list) else []
        return _of_chosen(chosen, [row.get("candidates") if isinstance(row, dict) else None for row in rows])
    if isinstance(logprobs.get("chosen"), list):
        return _of_chosen(logprobs["chosen"], logprobs.get("top"))
    if isinstance(logprobs.get("triples"), list):
        return _of_triples(logprobs["triples"], logprobs.get("top_triples"))
    if content is None:
        return Unscorable(reason=Reason.LOGPROBS_NULL, detail="logprobs.content is null")
    return Unscorable(reason=Reason.LOGPROBS_EMPTY, detail="logprobs holds no token")


def _of_entries(entries: list[Any]) -> list[Token]:
    return [_of_entry(entry) for entry in entries]


def _of_entry(entry: object) -> Token:
    if not isinstance(entry, dict):
        return Token(text=None, logprob=None)
    if "token" not in entry:
        first = next(iter(entry.values()), None)
        if isinstance(first, dict) and "decoded_token" in first:  # by token id; the one that was written comes first
            return Token(piece(first["decoded_token"], None), entry_logprob(first), entry)
        nested = entry.get("logprobs")
        if isinstance(nested, list):  # Cohere: one text, a list of logprobs, no alternatives
            return Token(text=entry_piece(entry), logprob=log_probability(nested[0] if nested else None))
    elif "top_logprobs" in entry:  # nearly every one
        return Token(piece(entry["token"], entry.get("bytes")), entry_logprob(entry), entry["top_logprobs"])
    listed = next((entry[key] for key in _ALTERNATIVES_KEYS if key in entry), None)
    return Token(entry_piece(entry), entry_logprob(entry), listed)


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


def _of_chosen(chosen: list[Any], top: object) -> list[Token] | Unscorable:
    """Tokens in one list, the alternatives of each in another."""
    tokens = _of_entries(chosen)
    if not isinstance(top, list) or not top:
        return tokens
    if len(top) != len(tokens):
        return _UNEVEN
    return [Token(token.text, token.logprob, listed) for token, listed in zip(tokens, top, strict=True)]


def _of_triples(chosen: list[Any], top: object) -> list[Token] | Unscorable:
    """SGLang: ``[logprob, id, text]`` for each token, and a list of such for each; the text is null unless asked for."""
    rows = top if isinstance(top, list) else []
    if rows and len(rows) != len(chosen):
        return _UNEVEN
    lists = [list(map(_of_triple, row)) if isinstance(row, list) else None for row in rows]
    return _of_chosen(list(map(_of_triple, chosen)), lists)


def _of_triple(triple: object) -> dict[str, Any]:
    if not isinstance(triple, list | tuple) or len(triple) < 3:
        return {"token": None, "logprob": None}
    return {"token": triple[2], "logprob": triple[0]}


def _lists(top: object, token: object) -> bool:
    return isinstance(top, dict) and isinstance(token, str) and token in top


def _either(body: dict[str, Any], first: str, second: str) -> Any:
    return body[first] if first in body else body.get(second)
