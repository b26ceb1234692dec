"""Finding the logprobs of a text that was sent, in a response body of any endpoint that gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from schemas.perplexity import NoPerplexity, Unmeasured
from schemas.signal import Unscorable
from streams.core.signal.body import parse
from streams.core.signal.numbers import IMPOSSIBLE, log_probability
from streams.core.signal.token_bytes import piece, to_bytes
from streams.core.signal.tokens import entry_logprob, entry_piece

_ABSENT = Unmeasured(reason=NoPerplexity.ABSENT, detail="the body has no logprobs of the prompt")
_NULL = Unmeasured(reason=NoPerplexity.ABSENT, detail="the prompt's logprobs are null")
_UNREADABLE = Unmeasured(reason=NoPerplexity.UNREADABLE, detail="the body holds no prompt tokens that can be read")
_NOT_THE_PROMPT = Unmeasured(
    reason=NoPerplexity.NOT_THE_PROMPT, detail="the tokens do not spell the text: the wish for an echo was ignored"
)
_UNKNOWN_TOKEN = Unmeasured(
    reason=NoPerplexity.UNKNOWN_TOKEN, detail="several tokens are listed at a position, and no ids say which was sent"
)
_INCOMPLETE = Unmeasured(reason=NoPerplexity.INCOMPLETE, detail="a token of the text has no logprob")
_IMPOSSIBLE = Unmeasured(reason=NoPerplexity.IMPOSSIBLE_LOGPROB, detail="a logprob is above zero or not a number")

#: A prompt's first token may come without its text; it is no longer than this, bytes.
_LONGEST_FIRST = 32


@dataclass(frozen=True, slots=True)
class PromptToken:
    """One token of what was sent: its text (None: not said) and its logprob (None: null, -inf: a floor)."""

    text: str | None
    logprob: float | None


def read_prompt(body: object, text: str) -> tuple[float, ...] | Unmeasured:
    """Return the logprobs of the tokens that spell ``text``, in nats, -inf for a floor; or why there are none.

    Reads the legacy echo (``choices[].logprobs.tokens``, Together's ``prompt[].logprobs``), vLLM's ``prompt_logprobs``
    (a list of dicts by token id) and Mistral's (``content`` as in chat). What stands around the text, a template or
    generated tokens, is left out. The first token of the whole prompt has no logprob and is left out too. Never raises.
    """
    document = parse(body)
    if isinstance(document, Unscorable):
        return Unmeasured(reason=NoPerplexity.UNREADABLE, detail=document.detail)
    tokens = _prompt_tokens(document)
    return tokens if isinstance(tokens, Unmeasured) else _spelling(tokens, text)


def _prompt_tokens(document: dict[str, Any]) -> list[PromptToken] | Unmeasured:
    choices = document.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    for holder in (choice, document):
        if "prompt_logprobs" in holder:
            return _of_prompt_logprobs(holder["prompt_logprobs"], _ids(choice, document))
    prompts = document.get("prompt")
    if isinstance(prompts, list) and prompts and isinstance(prompts[0], dict):
        choice = prompts[0]
    if "logprobs" not in choice:
        return _UNREADABLE if document.get("error") or not choice else _ABSENT
    logprobs = choice["logprobs"]
    if logprobs is None:
        return _NULL
    if not isinstance(logprobs, dict):
        return _UNREADABLE
    if isinstance(logprobs.get("content"), list):
        return _of_entries(logprobs["content"])
    return _of_parallel_lists(logprobs)


def _of_prompt_logprobs(value: object, ids: Sequence[object] | None) -> list[PromptToken] | Unmeasured:
    if value is None:
        return _NULL
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        return _of_entries(value["content"])
    if not isinstance(value, list):
        return _UNREADABLE
    if ids is not None and len(ids) != len(value):
        return _UNREADABLE
    tokens = []
    for place, position in enumerate(value):
        if position is None:
            tokens.append(PromptToken(None, None))
            continue
        entry = _sent(position, None if ids is None else ids[place])
        if entry is None:
            return _UNKNOWN_TOKEN
        tokens.append(PromptToken(piece(entry.get("decoded_token"), None), entry_logprob(entry)))
    return tokens


def _sent(position: object, token_id: object) -> dict[str, Any] | None:
    """Return the entry of the token that was sent, which need not be the likeliest one.

    By its id if the body tells the ids. If it does not, there must be no choice: one entry; or two, asked for with
    one alternative, of which the one that is not of rank 1 was sent.
    """
    if not isinstance(position, dict):
        return None
    entries = [entry for entry in position.values() if isinstance(entry, dict)]
    if token_id is not None:
        entry = position.get(str(token_id))
        return entry if isinstance(entry, dict) else None
    if len(entries) == 2:
        entries = [entry for entry in entries if entry.get("rank") != 1]
    return entries[0] if len(entries) == 1 else None


def _ids(*holders: dict[str, Any]) -> Sequence[object] | None:
    for holder in holders:
        if isinstance(holder.get("prompt_token_ids"), list):
            ids: list[object] = holder["prompt_token_ids"]
            return ids
    return None


def _of_entries(entries: list[Any]) -> list[PromptToken] | Unmeasured:
    if not all(isinstance(entry, dict) for entry in entries):
        return _UNREADABLE
    return [PromptToken(entry_piece(entry), entry_logprob(entry)) for entry in entries]


def _of_parallel_lists(logprobs: dict[str, Any]) -> list[PromptToken] | Unmeasured:
    tokens, own = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(tokens, list) or not isinstance(own, list) or len(tokens) != len(own):
        return _UNREADABLE
    return [
        PromptToken(piece(token, None), log_probability(logprob)) for token, logprob in zip(tokens, own, strict=True)
    ]


def _spelling(tokens: list[PromptToken], text: str) -> tuple[float, ...] | Unmeasured:
    """Return the logprobs of the tokens that the text is spelled by, which must be all of it."""
    if any(token.text is None for token in tokens[1:]):
        return _UNREADABLE
    pieces = [to_bytes(token.text or "") for token in tokens]
    spelled, wanted = b"".join(pieces), text.strip().encode("utf-8", "replace")
    start = spelled.find(wanted)
    if start < 0 and tokens and tokens[0].text is None and _ends(wanted, spelled):
        start, wanted = 0, spelled
    if start < 0 or not wanted:
        return _NOT_THE_PROMPT
    ends = accumulate(map(len, pieces), initial=0)
    inside = [
        token.logprob
        for place, (token, (begin, end)) in enumerate(zip(tokens, pairwise(ends), strict=True))
        if begin < start + len(wanted) and end > start and (place or token.logprob is not None)
    ]
    return _checked(inside)


def _ends(wanted: bytes, spelled: bytes) -> bool:
    """Return whether ``spelled`` is the text without its first token."""
    return bool(spelled) and wanted.endswith(spelled) and len(wanted) - len(spelled) <= _LONGEST_FIRST


def _checked(logprobs: list[float | None]) -> tuple[float, ...] | Unmeasured:
    known = [logprob for logprob in logprobs if logprob is not None]
    if IMPOSSIBLE in known:
        return _IMPOSSIBLE
    if len(known) < len(logprobs) or not any(map(math.isfinite, known)):
        return _INCOMPLETE
    return tuple(known)
