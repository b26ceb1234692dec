"""Where in an answer's text the label stands. The text is data: it is compared, never evaluated."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from streams.core.signal.labels import LEADING, TRAILING, LabelSet, fold
from streams.core.signal.thought import has_marker, says_thought

#: An answer longer than this many characters after its reasoning is prose, whatever its first word is.
MAX_ANSWER = 4000

_NAMES = "label|category|class|classification|intent|queue|answer|topic|output|result"
_NAMED = re.compile(rf"(?:the\s+)?(?:final\s+)?(?:{_NAMES})(?:\s+is)?[\s*\"'`]*[:=]", re.IGNORECASE)
_NAME = re.compile(rf"(?:final[_ ])?(?:{_NAMES}|final|prediction|decision|choice)", re.IGNORECASE)
_FENCE = re.compile(r"\s*```[\w+-]*\s")
_JSON = json.JSONDecoder()
#: Members of a JSON object that make it a tool call, written as text.
_CALLEE = frozenset({"name", "function", "tool", "tool_name", "action"})
_ARGUMENTS = frozenset({"arguments", "parameters", "args", "input", "action_input", "tool_input"})
#: A member with this in its name says what the answer is not.
_NOT_IT = re.compile(r"reject|second|alternat|previous|exclud|unlikely|wrong|tool|(?:^|_)(?:not|no|un)(?:_|$)")
#: How an object may break off behind a text: at its end, or inside of the next member.
_BREAKS_OFF = re.compile(r'"?\s*(?:,\s*(?:"(?P<name>[^"]*)(?:"\s*(?::.*)?)?)?)?', re.DOTALL)
#: A line under the answer shorter than this many words, or characters of a script without spaces, may be an answer.
_MIN_WORDS = 4
_MIN_CHARACTERS = 10
#: From Thai on, most scripts put no spaces between words.
_WITHOUT_SPACES = "\u0e00"
#: What a line may begin with to explain the answer, however short it is.
_EXPLAINS = re.compile(
    r"(?:reason(?:ing)?|explanation|rationale|why|confidence|score|certainty|justification|evidence)\s*[:=]"
    r"|(?:because|since)\b",
    re.IGNORECASE,
)
#: Words that take an answer back.
_SECOND_THOUGHTS = re.compile(
    r"\b(?:actually|wait|instead|rather|neither|none of|nothing fits|correction|on second thought|scratch that|never mind|"
    r"however|mistake|ignore|wrong|(?:an)?other (?:category|queue|label|class|one)|different (?:category|queue|label|class)|"
    r"cannot (?:classify|decide|tell)|not sure|unsure|unclear|or maybe|could also|alternatively|sorry|"
    r"nein|doch|eigentlich|lieber|keine[srmn]?|unsicher|plutôt|en fait|aucune?|ou bien|en realidad|mejor dicho|ninguna?|"
    r"anzi|invece|nessuna?|na verdade|nenhuma?|aliás|nee|eigenlijk|geen|hayir|aslinda|нет|скорее|вернее)\b"
    r"|\b(?:no|non)[,.:;!]|其实|或者|更正|忽略|另外|不是|而是|いや|ではなく|または|아니"
)
#: Words that deny what they stand with.
_DENIALS = re.compile(r"\b(?:not|no|never|nor|cannot|nicht|pas|ne|não|не|değil)\b|n['’]t\b|不")


@dataclass(frozen=True, slots=True)
class Located:
    """A label in a text, at these characters."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of a JSON object: its name in lower case, its value, and the value's place without quotes."""

    name: str
    value: str
    """The text, or the digits of a whole number; empty for anything else."""
    start: int
    end: int
    is_text: bool = False


def locate(text: str, part: tuple[int, int], labels: LabelSet) -> Located | None:
    """Return the label that the answer names, or None; ``part`` is where it stands in the text (``answer_part``).

    The label may stand alone, be the value of a JSON object, follow "Label:", or be the first line if what follows says
    nothing that could be another answer. Around it whitespace, quotes, punctuation and a code fence do not count.
    """
    start, end = part
    if end - start > MAX_ANSWER:
        return None
    if text.startswith("```", start):
        return _in_fence(text, start, end, labels)
    return _named_by(text, *bare(text, start, end), labels)


def _named_by(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    return _at(text, start, end, labels) or _in_json(text, start, end, labels) or _first_line(text, start, end, labels)


def _in_fence(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label inside a code fence that is not named after a thought or a tool, if what follows says nothing."""
    name = text[start + 3 : end].split("\n", 1)[0].strip().lower()
    if says_thought(name) or "tool" in name:
        return None
    inner = _unwrap(text, start, end)
    found = _named_by(text, *inner, labels)
    behind = text.rfind("```", inner[1], end)
    if found is None or behind < 0:
        return found
    return found if _says_nothing(text[behind + 3 : end], found.label, labels) else None


def could_become(text: str, part: tuple[int, int], labels: LabelSet) -> bool:
    """Return whether a cut answer is the beginning of one with a label."""
    if part[1] - part[0] > MAX_ANSWER:
        return False
    start, end = _unwrap(text, *part)
    if start == end:
        return True
    if text[start] == "{":
        return not _is_json(text[start:])
    named = _NAMED.match(text, start)
    rest = text[named.end() if named else start :].lstrip(LEADING)
    return not rest or bool(labels.owners(rest))


def bare(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the part of ``text[start:end]`` without whitespace, quotes and punctuation around it."""
    part = text[start:end]
    first = start + len(part) - len(part.lstrip(LEADING))
    return first, max(first, end - len(part) + len(part.rstrip(TRAILING)))


def _unwrap(text: str, start: int, end: int) -> tuple[int, int]:
    """Return where the answer stands inside a code fence, quotes and the like."""
    fence = _FENCE.match(text, start, end)
    if fence:
        close = text.rfind("```", fence.end(), end)
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
    if found is None or "?" in text[found.end : line] or not _says_nothing(text[line:end], found.label, labels):
        return None
    return found


def _says_nothing(rest: str, label: str, labels: LabelSet) -> bool:
    """Return whether what follows an answer holds nothing that could be another answer or a marker."""
    if not rest.strip():
        return True
    folded = fold(rest)
    if has_marker(rest) or _SECOND_THOUGHTS.search(folded):
        return False
    if fold(labels.written[label]) in folded and _DENIALS.search(folded):
        return False
    if _names_another(folded, label, labels):
        return False
    return all(_is_prose(line, label, labels) for line in rest.split("\n"))


def _names_another(folded: str, label: str, labels: LabelSet) -> bool:
    """Return whether a folded text holds another label than this one, as the model writes it."""
    return any(fold(answer) in folded for other, answer in labels.written.items() if other != label)


def _is_prose(line: str, label: str, labels: LabelSet) -> bool:
    """Return whether a line is empty, the same answer again, or too long to be an answer."""
    start, end = bare(line, 0, len(line))
    if start == end or labels.match(line[start:end]) == label:
        return True
    named = _NAMED.match(line, start, end)
    if named:
        return labels.match(line[named.end() : end]) == label
    line = line[start:end]
    if _EXPLAINS.match(line):
        return True
    return len(line.split()) >= _MIN_WORDS or sum(character >= _WITHOUT_SPACES for character in line) >= _MIN_CHARACTERS


def _in_json(text: str, start: int, end: int, labels: LabelSet) -> Located | None:
    """Return the label that a JSON object holds: under a name such as "label", or as the only text of a whole object.

    A member whose name says thought is none. Two labels are two answers, and so are two names of which one holds
    something else.
    """
    if not text.startswith("{", start):
        return None
    members, after = _members(text, start, end)
    names = {member.name for member in members}
    if names & _CALLEE and names & _ARGUMENTS:
        return None
    members = [member for member in members if not _is_aside(member.name)]
    named = [member for member in members if _NAME.fullmatch(member.name)]
    if not named and after is not None and not any(map(_NOT_IT.search, names)):
        texts = [member for member in members if member.value and not _explains(member)]
        named = texts if len(texts) == 1 else []
    first = [member for member in named if member.name == "label"]
    # Under "label" stands the answer, whatever the other names hold; without it each of them must hold the same.
    chosen = first or named
    held = {labels.match(member.value) for member in chosen}
    label = held.pop() if len(held) == 1 and len(first) <= 1 else None
    if label is None:
        return None
    # Numbers under other names ({"priority": 2, "label": 8}) are seldom a second answer.
    others = {labels.match(member.value) for member in members if member.is_text or member in named}
    if others - {None, label}:
        return None
    harmless = (
        _is_cut(text[members[-1].end : end], label, labels)
        if after is None
        else _says_nothing(text[after:end], label, labels)
    )
    return Located(label, *bare(text, chosen[0].start, chosen[0].end)) if harmless else None


def _is_cut(rest: str, label: str, labels: LabelSet) -> bool:
    """Return whether an object that breaks off does so cleanly, and not inside of a second answer."""
    match = _BREAKS_OFF.fullmatch(rest)
    folded = fold(rest)
    if match is None or _SECOND_THOUGHTS.search(folded) or _names_another(folded, label, labels):
        return False
    name = match["name"]
    return name is None or (name.lower() != "label" and _NAME.fullmatch(name) is None)


def _is_aside(name: str) -> bool:
    """Return whether a member holds something else than the answer: a thought, a tool's name, or what it is not."""
    return name in _CALLEE - {"name"} or says_thought(name) or _NOT_IT.search(name) is not None


def _explains(member: _Member) -> bool:
    """Return whether a member explains the answer, by its name or its length, and so could not be one."""
    return _EXPLAINS.match(f"{member.name}:") is not None or len(member.value.split()) >= _MIN_WORDS


def _members(text: str, start: int, end: int) -> tuple[list[_Member], int | None]:
    """Return the members of the object that begins at ``start``, and where it ends.

    An object that breaks off gives what it has, and no end; a number must be complete, since a cut one looks whole.
    """
    members: list[_Member] = []
    at = start + 1
    try:
        while at < end:
            key, at = _JSON.raw_decode(text, _skip(text, at))
            at = _skip(text, at)
            if not isinstance(key, str) or text[at : at + 1] != ":":
                return members, None
            first = _skip(text, at + 1)
            value, last = _JSON.raw_decode(text, first)
            at = _skip(text, last)
            if isinstance(value, str):
                members.append(_Member(key.lower(), value, first + 1, last - 1, is_text=True))
            elif type(value) is int and text[at : at + 1] in (",", "}"):
                members.append(_Member(key.lower(), text[first:last], first, last))
            else:
                members.append(_Member(key.lower(), "", last, last))
            if text[at : at + 1] == "}":
                return members, at + 1
            if text[at : at + 1] != ",":
                return members, None
            at += 1
    except (ValueError, RecursionError):
        pass  # cut or broken: the members before the break still stand
    return members, None


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
