"""Where in an answer's text the label stands. The text is data: it is compared, never evaluated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from streams.core.labels import LEADING, TRAILING, LabelSet, fold
from streams.core.reading.align import CONTROL, REASONING_ENDS

#: An answer longer than this many characters after its reasoning is prose, whatever its first word is.
MAX_ANSWER = 4000

_NAMES = "label|category|class|classification|intent|queue|answer|topic|output|result"
_NAMED = re.compile(rf"(?:the\s+)?(?:final\s+)?(?:{_NAMES})(?:\s+is)?[\s*\"'`]*[:=]", re.IGNORECASE)
_NAME = re.compile(rf"(?:{_NAMES})", re.IGNORECASE)
_CONTROL = re.compile(CONTROL)
_FENCE = re.compile(r"\s*```[\w+-]*\s")
_REASONING = ("<think>", "<thinking>", "<thought>", "<reasoning>", "[THINK]", "<|channel|>analysis")
_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Located:
    """A label in a text, at these characters."""

    label: str
    start: int
    end: int


def locate(text: str, labels: LabelSet) -> Located | None:
    """Return the label that the text answers with, or None.

    The label may stand alone, be the value of a JSON object, follow "Label:", or be the first line when what follows
    names no other label. Around it whitespace, quotes, punctuation, control tokens, a code fence and the reasoning
    before it do not count.
    """
    start = _after_reasoning(text)
    if start is None or len(text) - start > MAX_ANSWER:
        return None
    part = _unwrap(text, start)
    return _at(text, *part, labels) or _in_json(text, *part, labels) or _first_line(text, *part, labels)


def could_become(text: str, labels: LabelSet) -> bool:
    """Return whether a cut text is the beginning of an answer with a label."""
    begin = _after_reasoning(text)
    if begin is None:
        return True
    if len(text) - begin > MAX_ANSWER:
        return False
    start, end = _unwrap(text, begin)
    if start == end:
        return True
    if text[start] == "{":
        return not _is_json(text[start:])
    named = _NAMED.match(text, start)
    rest = text[named.end() if named else start :].lstrip(LEADING)
    return not rest or bool(labels.owners(rest))


def bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the part of ``text[start:end]`` without whitespace, quotes, punctuation and control tokens around it."""
    while True:
        part = text[start:end]
        first = start + len(part) - len(part.lstrip(LEADING))
        last = max(first, end - len(part) + len(part.rstrip(TRAILING)))
        control = _CONTROL.match(text, first, last)
        if control:
            first = control.end()
        opening = text.rfind("<", first, last)
        if opening >= 0 and _CONTROL.fullmatch(text, opening, last):
            last = opening
        if (first, last) == (start, end):
            return first, last
        start, end = first, last


def _after_reasoning(text: str) -> int | None:
    """Return where the answer begins, or None where the reasoning has not ended."""
    start = max((at + len(mark) for mark in REASONING_ENDS if (at := text.rfind(mark)) >= 0), default=0)
    return None if any(text.find(mark, start) >= 0 for mark in _REASONING) else start


def _unwrap(text: str, start: int) -> tuple[int, int]:
    """Return where the answer stands inside a code fence, quotes and the like."""
    end = len(text)
    fence = _FENCE.match(text, start)
    if fence:
        close = text.rfind("```", fence.end())
        start, end = fence.end(), close if close >= 0 else end
    return bare(text, start, end)


def _at(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label that the part is, alone or after "Label:"."""
    label = labels.match(text[start:end])
    if label is None:
        named = _NAMED.match(text, start, end)
        if not named:
            return None
        start, end = bare(text, named.end(), end)
        label = labels.match(text[start:end])
    return None if label is None else Located(label, start, end)


def _first_line(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    line = text.find("\n", start, end)
    if line < 0:
        return None
    found = _at(text, *bare(text, start, line), labels)
    if found is None:
        return None
    rest = fold(text[line:end])
    others = (fold(answer) for label, answer in labels.written.items() if label != found.label)
    return None if any(other in rest for other in others) else found


def _in_json(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label that a JSON object holds: under a name such as "label", or as its only value that is one."""
    members = _members(text, start, end) if text.startswith("{", start) else []
    named = [member for member in members if member[0].lower() == "label"]
    named = named or [member for member in members if _NAME.fullmatch(member[0])]
    found = [
        Located(label, *bare(text, first, last))
        for _, value, first, last in named or members
        if (label := labels.match(value)) is not None
    ]
    return found[0] if len(found) == 1 and len(named) <= 1 else None


def _members(text: str, start: int, end: int) -> list[tuple[str, str, int, int]]:
    """Return key, value and the value's place for each text member; an object that breaks off gives what it has."""
    members: list[tuple[str, str, int, int]] = []
    at = start + 1
    try:
        while at < end:
            key, at = _JSON.raw_decode(text, _skip(text, at))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                break
            first = _skip(text, at + 1)
            value, at = _JSON.raw_decode(text, first)
            members.append((key, value, first + 1, at - 1) if isinstance(value, str) else (key, "", at, at))
            at = _skip(text, at)
            if text[at : at + 1] != ",":
                break
            at += 1
    except (ValueError, RecursionError):
        pass  # cut or broken: the members before the break still stand
    return members


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _is_json(text: str) -> bool:
    try:
        _JSON.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return True
