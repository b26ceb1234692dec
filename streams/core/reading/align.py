"""Which bytes of the answer's text each token spells."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from schemas.signal import Reason, Unscorable
from streams.core.reading.answer import Token
from streams.core.reading.pieces import to_bytes

#: Control tokens of common chat templates, which servers may leave in the text or in the tokens; DeepSeek's have wide
#: bars.
CONTROL = r"<(?:\||｜)[^<>|｜]{1,40}(?:\||｜)>|</?s>|<(?:bos|eos|pad|unk|EOT|(?:start|end)_of_turn)>|\[/?INST\]"
#: What ends a model's reasoning; the answer comes after it.
REASONING_ENDS = ("</think>", "</thinking>", "</thought>", "</reasoning>", "[/THINK]", "<|message|>")

_IGNORED = re.compile(rf"(?:\s|{CONTROL})*".encode())
_CONTROL = re.compile(CONTROL.encode())
_LONGEST_CONTROL = 64
#: A stop sequence may be among the tokens although the text ends before it.
_AFTER = b" \t\r\n\v\f.,;:!?\"'`}])"
_ENDS = tuple(end.encode() for end in REASONING_ENDS)


def align(text: str, tokens: tuple[Token, ...]) -> list[tuple[Token, int, int]] | Unscorable:
    """Return each token with the bytes of ``text`` that it spells, as start and end in its UTF-8 form.

    The tokens must spell the text. Around it they may have whitespace and control tokens, and before it the model's
    reasoning, which some servers cut from the text; those get positions outside of the text.
    """
    if any(token.text is None for token in tokens):
        return Unscorable(reason=Reason.UNREADABLE_TOKENS, detail="tokens are ids without text")
    pieces = [to_bytes(token.text or "") for token in tokens]
    spelled = b"".join(pieces)
    target = to_bytes(text)
    shift = 0 if spelled == target else _shift(spelled, target)
    if shift is None:
        return Unscorable(reason=Reason.MISALIGNED, detail="the tokens do not spell the answer")
    ends = list(accumulate(map(len, pieces), initial=-shift))
    return [(token, start, end) for token, (start, end) in zip(tokens, pairwise(ends), strict=True)]


def _shift(spelled: bytes, target: bytes) -> int | None:
    """Return how many bytes the tokens spell before the text begins (negative: the text begins with more space)."""
    start, stop, end = len(target) - len(target.lstrip()), _end(target), _end(spelled)
    at = end - (stop - start)
    if at < 0 or stop < start or spelled[at:end] != target[start:stop]:
        return None
    before = spelled[:at].rstrip()
    if not _IGNORED.fullmatch(before) and not before.endswith(_ENDS):
        return None
    return at - start


def _end(data: bytes) -> int:
    """Return where the data ends without the space, punctuation and control tokens behind it."""
    end = len(data)
    while end:
        opening = data.rfind(b"<", max(0, end - _LONGEST_CONTROL), end)
        if data[end - 1] in _AFTER:
            end -= 1
        elif opening >= 0 and _CONTROL.fullmatch(data, opening, end):
            end = opening
        else:
            break
    return end
