"""Takes e-mail addresses, card numbers and phone numbers out of a text, and leaves the rest as it is.

What is found is what looks like one. A card number has 13 to 19 digits, begins with 2 to 6 and ends in the check digit of ISO/IEC
7812 (Luhn). A phone number begins with +, ( or 0 and has 7 to 15 digits (E.164), or is written as in North America, 555-123-4567.
Other numbers, dates, names and postal addresses stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import Literal

Redaction = Literal["email", "card", "phone"]

# The time is linear in the text, whatever it holds: no pattern begins inside a run of its own characters, and none goes back in one
# (possessive); windows of digits are bounded.
_EMAIL = re.compile(r"(?<![\w.%+'-])([.%+'-]*+)\w[\w.%+'-]*+@[\w-]++(?:\.[\w-]++)++")
#: Groups of digits with one or two separators between them: one number or several, side by side.
_NUMBERS = re.compile(r"(?<![\w+(])\+?\(?\d(?:[ ./()-]{0,2}+\d)*+")
_GROUP = re.compile(r"[+(]{0,2}\d+")
_DATE = re.compile(r"(?:\d{4}[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-]\d{4})(?!\d)")
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}(?!\d)")
_CARD_DIGITS = range(13, 20)
_PHONE_DIGITS = range(7, 16)

_Groups = Sequence[re.Match[str]]
#: Returns how many of the groups from the first on are a number to take out, or 0.
_Finder = Callable[[_Groups], int]


def redact(text: str, kinds: Collection[Redaction]) -> str:
    """Return the text with ``[email]``, ``[card]`` and ``[phone]`` in place of what is to go; never raises.

    Redacting twice changes nothing more. The time is linear in the length of the text.
    """
    if "email" in kinds:
        text = _EMAIL.sub(r"\1[email]", text)
    if "card" in kinds:
        text = _NUMBERS.sub(lambda found: _replaced(found, _card, "[card]"), text)
    if "phone" in kinds:
        text = _NUMBERS.sub(lambda found: _replaced(found, _phone, "[phone]"), text)
    return text


def _replaced(found: re.Match[str], find: _Finder, mark: str) -> str:
    """Return a run of numbers with the mark in place of those that are found in it."""
    text, end = found.string, found.end()
    groups = list(_GROUP.finditer(text, found.start(), end))
    if end < len(text) and (text[end].isalnum() or text[end] == "_"):
        groups.pop()  # the beginning of a word, such as the 5 of 5pm
    out, at, first = [], found.start(), 0
    while first < len(groups):
        count = find(groups[first : first + _CARD_DIGITS.stop])
        if count:
            out += [text[at : groups[first].start()], mark]
            at = groups[first + count - 1].end()
        first += count or 1
    return "".join(out) + text[at:end]


def _card(groups: _Groups) -> int:
    """Find the longest card number that begins with the first group."""
    digits: list[int] = []
    longest = 0
    if not 2 <= _digits(groups[0])[0] <= 6:
        return 0
    for count, group in enumerate(groups, start=1):
        digits += _digits(group)
        if len(digits) >= _CARD_DIGITS.stop:
            break
        if len(digits) in _CARD_DIGITS and _luhn(digits):
            longest = count
    return longest


def _phone(groups: _Groups) -> int:
    """Find the longest phone number that begins with the first group."""
    first = groups[0]
    if first.group()[0] not in "+(0":
        written = _NORTH_AMERICAN.match(first.string, first.start())
        return 0 if written is None else sum(group.end() <= written.end() for group in groups)
    total = longest = 0
    for count, group in enumerate(groups, start=1):
        total += len(_digits(group))
        if total >= _PHONE_DIGITS.stop or _DATE.match(group.string, group.start()):
            break
        if total in _PHONE_DIGITS:
            longest = count
    return longest


def _digits(group: re.Match[str]) -> list[int]:
    return [int(char) for char in group.group()[-_CARD_DIGITS.stop :] if char.isdecimal()]


def _luhn(digits: list[int]) -> bool:
    """Return whether the last digit is the check digit of the others."""
    doubled = (2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
