"""What the model could have written instead of one token, and how likely each of it was."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Token
from streams.core.signal.numbers import ALMOST_CERTAIN, FLOOR, IMPOSSIBLE, log_probability
from streams.core.signal.token_bytes import UNDECODED, from_byte_level, is_partial, piece
from streams.core.signal.tokens import entry_logprob, entry_piece

#: A token's own logprob and its entry in its own list may differ this much: 0.02 nats, and 1 % for half precision.
_SAME_NATS = 0.02
_SAME_SHARE = 0.01
_EQUAL = 1e-6
#: Probabilities may sum to this much above one, from rounding.
MASS_NOISE = 0.01


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The distribution that a response shows at one position."""

    own: float
    """Logprob of the token that was written, nats."""
    others: tuple[tuple[str | None, float], ...]
    """Every other listed token with a usable logprob and its probability, each text once; None for a token without a
    readable text."""
    k: int
    """How many tokens were listed with a usable logprob, the written one included if it was listed; at least 1."""
    mass: float
    """Probability of everything shown, the written token included; above 1 by no more than rounding."""


def alternatives(token: Token) -> Alternatives | Unscorable:
    """Return the distribution at one token, or why there is none.

    The list may be shorter than asked for, unsorted, and without the written token. Floors are left out. It is
    refused if nothing but the written token has a usable logprob, if a number is impossible, or if the list
    cannot belong to the token. A written token that was plainly not certain is taken alone if the others are floors.
    """
    listing = _read(token)
    if isinstance(listing, Unscorable):
        return listing
    inside, others, unnamed = listing.inside, listing.others, listing.unnamed
    if inside is None:
        inside = _pop_respelled(others, token)
    if inside is None:
        inside = _pop_unreadable(unnamed, others, token)
    own = inside if token.logprob is None else token.logprob
    if own is None or (own == -math.inf and inside is None):
        return Unscorable(reason=Reason.FLOOR_LOGPROB, detail="the answer's token has no separate logprob")
    if inside is not None and not abs(own - inside) <= _SAME_NATS + _SAME_SHARE * abs(inside):
        return Unscorable(reason=Reason.MISALIGNED, detail="a token's logprob contradicts its own list")
    rest = tuple([(text, math.exp(logprob)) for text, logprob in (*others.items(), *unnamed)])
    mass = math.exp(own) + sum([probability for _, probability in rest])
    shown = Alternatives(own, rest, max(1, len(rest) + (inside is not None)), mass)
    if not rest and listing.floors and -math.inf < own < ALMOST_CERTAIN:
        return shown
    return _refuse_impossible(shown, token, listed=inside is not None) or shown


@dataclass(slots=True)
class _Listing:
    """What stands in one token's list, in nats: the token itself, the others by text, and those without a clear text."""

    inside: float | None
    others: dict[str, float]
    unnamed: list[tuple[str | None, float]]
    floors: bool


def _read(token: Token) -> _Listing | Unscorable:
    listing = _Listing(None, {}, [], floors=False)
    others, own, byte_level = listing.others, token.text, token.byte_level
    for text, logprob in entries(token.listed):
        if logprob is None or logprob == -math.inf:
            listing.floors = listing.floors or logprob is not None
            continue
        if logprob == IMPOSSIBLE:
            return Unscorable(reason=Reason.IMPOSSIBLE_LOGPROB, detail="an alternative is above zero or not a number")
        if byte_level and text:
            text = from_byte_level(text) or text
        if not text or UNDECODED in text:
            _add_unnamed(listing, text, logprob, token)
        elif text == own:
            listing.inside = logprob if listing.inside is None else max(listing.inside, logprob)
        elif text not in others or logprob > others[text]:
            others[text] = logprob
    return listing


def _add_unnamed(listing: _Listing, text: str | None, logprob: float, token: Token) -> None:
    # Several control tokens, or parts of characters, look the same: these are not one token listed twice.
    same = text == token.text and token.logprob is not None and abs(logprob - token.logprob) < _EQUAL
    if listing.inside is None and same:
        listing.inside = logprob
    else:
        listing.unnamed.append((text, logprob))


def _refuse_impossible(shown: Alternatives, token: Token, *, listed: bool) -> Unscorable | None:
    if not shown.others:
        return Unscorable(reason=Reason.NO_ALTERNATIVES, detail="nothing but the written token has a logprob")
    inside_character = _goes_on(token.text)
    if all(_is_unreadable(text, inside_character=inside_character) for text, _ in shown.others):
        return Unscorable(reason=Reason.UNREADABLE_TOKENS, detail="no alternative can be read")
    if shown.mass <= 1 + MASS_NOISE:
        return None
    if not listed and shown.mass - math.exp(shown.own) <= 1 + MASS_NOISE:
        return Unscorable(reason=Reason.MISALIGNED, detail="the list leaves no room for the token that was written")
    return Unscorable(reason=Reason.IMPOSSIBLE_MASS, detail="the alternatives sum to more than one")


def _pop_respelled(others: dict[str, float], token: Token) -> float | None:
    """Take the written token out of the others if its own list spells it with or without the leading space."""
    if token.logprob is None or not token.text:
        return None
    bare = token.text.strip()
    for text, logprob in others.items():
        if abs(logprob - token.logprob) < _EQUAL and bare in (text.strip(), (from_byte_level(text) or text).strip()):
            return others.pop(text)
    return None


def _pop_unreadable(unnamed: list[tuple[str | None, float]], others: dict[str, float], token: Token) -> float | None:
    """Take the written token out of what cannot be read: the only such entry with its logprob."""
    if token.logprob is None or not token.text:
        return None
    halves = [] if is_partial(token.text) else [text for text in others if is_partial(text)]
    listed = [*unnamed, *((text, others[text]) for text in halves)]
    same = [entry for entry in listed if abs(entry[1] - token.logprob) < _EQUAL]
    if len(same) != 1 or same[0][0] == "":
        return None
    if same[0] in unnamed:
        unnamed.remove(same[0])
    else:
        others.pop(same[0][0] or "")
    return same[0][1]


def _is_unreadable(text: str | None, *, inside_character: bool) -> bool:
    """Return whether a text says nothing: none at all, one that was not decoded, or the rest of a character before it."""
    return text is None or UNDECODED in text or (not inside_character and _goes_on(text))


def _goes_on(text: str | None) -> bool:
    """Return whether a text begins inside of a character."""
    return bool(text) and "\uef80" <= (text or "")[0] <= "\uefbf"


def entries(listed: object) -> Iterator[tuple[str | None, float | None]]:
    """Yield text and logprob of each alternative as they came: a list of objects, a dict, or a list of dicts.

    The text is None if it cannot be read; the logprob is what ``log_probability`` makes of it.
    """
    if isinstance(listed, dict):
        if isinstance(listed.get("token"), str) and not isinstance(listed.get("logprob"), str | dict | None):
            yield entry_piece(listed), entry_logprob(listed)
        else:
            yield from map(_pair, listed.items())
    elif isinstance(listed, list):
        for entry in listed:
            if not isinstance(entry, dict):
                continue
            if "token" in entry:
                value = entry.get("logprob")
                ordinary = type(value) is float and FLOOR < value <= 0  # nearly every one: a call less
                yield piece(entry["token"], entry.get("bytes")), value if ordinary else entry_logprob(entry)
            elif len(entry) == 1:
                yield from map(_pair, entry.items())
            else:
                yield entry_piece(entry), entry_logprob(entry)


def _pair(item: tuple[Any, Any]) -> tuple[str | None, float | None]:
    token, value = item
    if isinstance(value, dict):  # vLLM: token id to logprob, rank and decoded token
        return piece(value.get("decoded_token"), None), entry_logprob(value)
    return piece(token, None), log_probability(value)
