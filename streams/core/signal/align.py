"""Which bytes of the answer's text each token spells."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, pairwise

from schemas.signal import Reason, Unscorable
from streams.core.signal.answer import Token
from streams.core.signal.thought import answer_part
from streams.core.signal.token_bytes import UNDECODED, from_byte_level, from_bytes, to_bytes

#: A token and the bytes of the text that it spells, as start and end in the text's UTF-8 form.
Placed = tuple[Token, int, int]

#: A stop sequence may be among the tokens although the text ends before it.
_AFTER = b" \t\r\n\v\f.,;:!?\"'`}])"
#: A token that a server could not decode holds no more than this many bytes.
_MAX_UNDECODED = 16
_MISALIGNED = Unscorable(reason=Reason.MISALIGNED, detail="the tokens do not spell the answer")
_THOUGHT_AGAIN = Unscorable(
    reason=Reason.REASONING_ONLY, detail="the answer is the reasoning, and the tokens spell it only once"
)


def align(
    text: str, part: tuple[int, int], tokens: tuple[Token, ...], thought: str | None = None
) -> list[Placed] | Unscorable:
    """Return each token with the bytes of ``text`` that it spells.

    ``part`` is where the answer stands in the text (``thought.answer_part``). The tokens must spell the text, or the
    same answer with another thought and other special tokens around it. A server may have cut those from the text, or
    put the thought into a separate field (``thought``). What stands around the answer gets positions outside of it.
    """
    if None in [token.text for token in tokens]:
        return Unscorable(reason=Reason.UNREADABLE_TOKENS, detail="tokens are ids without text")
    if thought and (core := _core(text)) and _core(thought) == core and _core(_spelled(tokens)).count(core) < 2:
        return _THOUGHT_AGAIN
    target = to_bytes(text)
    pieces = _pieces(tokens)
    if b"".join(pieces) == target:
        return _placed(tokens, pieces, 0)
    answer = to_bytes(text[slice(*part)]).rstrip(_AFTER)
    at = len(to_bytes(text[: part[0]]))
    placed = _around(tokens, answer, at, thought)
    if isinstance(placed, Unscorable):
        decoded = _decoded(tokens)
        if decoded is not None:
            placed = _around(decoded, answer, at, thought)
    if isinstance(placed, Unscorable) and UNDECODED in _spelled(tokens):
        placed = _undecoded(tokens, answer, at)
    return placed


def _around(tokens: tuple[Token, ...], answer: bytes, at: int, thought: str | None) -> list[Placed] | Unscorable:
    """Find the answer behind what the tokens spell before it; ``at`` is where it begins in the text."""
    spelled = _spelled(tokens)
    part = answer_part(spelled)
    if isinstance(part, Unscorable):
        return part
    found = to_bytes(spelled[slice(*part)]).rstrip(_AFTER)
    begin = len(to_bytes(spelled[: part[0]]))
    if found != answer:
        before = found[: len(found) - len(answer)]
        if not (answer and thought and found.endswith(answer) and _same(from_bytes(before), thought)):
            return _MISALIGNED
        begin += len(before)
    return _placed(tokens, _pieces(tokens), begin - at)


def _undecoded(tokens: tuple[Token, ...], answer: bytes, at: int) -> list[Placed] | Unscorable:
    """Place tokens of which some were not decoded: these share what the others leave of the answer."""
    places = [place for place, token in enumerate(tokens) if UNDECODED in (token.text or "")]
    first, last = places[0], places[-1] + 1
    spelled = _spelled(tokens[:first])
    part = answer_part(spelled)
    if isinstance(part, Unscorable):
        return part
    head, tail = to_bytes(spelled[part[0] :]), to_bytes(_spelled(tokens[last:]).strip()).rstrip(_AFTER)
    left = len(answer) - len(head) - len(tail)
    if not (answer.startswith(head) and answer.endswith(tail) and 0 < left <= _MAX_UNDECODED * (last - first)):
        return _MISALIGNED
    before = _placed(tokens[:first], _pieces(tokens[:first]), len(to_bytes(spelled[: part[0]])) - at)
    begin, end = at + len(head), at + len(head) + left
    between = [(token, begin, end) for token in tokens[first:last]]
    return [*before, *between, *_placed(tokens[last:], _pieces(tokens[last:]), -end)]


def _decoded(tokens: tuple[Token, ...]) -> tuple[Token, ...] | None:
    """Return the tokens as what they stand for in the alphabet of byte-level BPE; None if they are not in it."""
    decoded = []
    for token in tokens:
        text = token.text or ""
        plain = text if text.isascii() else from_byte_level(text)
        if plain is None:
            return None
        decoded.append(replace(token, text=plain, byte_level=True))
    return None if all((token.text or "").isascii() for token in tokens) else tuple(decoded)


def _placed(tokens: tuple[Token, ...], pieces: list[bytes], before: int) -> list[Placed]:
    """Place the tokens one after the other; ``before`` is how many bytes they spell before the text begins."""
    ends = list(accumulate(map(len, pieces), initial=-before))
    return [(token, start, end) for token, (start, end) in zip(tokens, pairwise(ends), strict=True)]


def _pieces(tokens: tuple[Token, ...]) -> list[bytes]:
    return [to_bytes(token.text or "") for token in tokens]


def _spelled(tokens: tuple[Token, ...]) -> str:
    return from_bytes(b"".join(_pieces(tokens)))


def _core(text: str) -> str:
    """Return a text's letters and digits, without case."""
    return "".join(filter(str.isalnum, text.casefold()))


def _same(one: str, other: str) -> bool:
    """Return whether two texts differ in nothing but whitespace."""
    return "".join(one.split()) == "".join(other.split())
