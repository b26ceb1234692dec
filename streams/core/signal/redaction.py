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

#: Each group of digits as it is written, and its digits.
_Groups = Sequence[tuple[re.Match[str], list[int]]]
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
    groups = [(group, _digits(group)) for group in _GROUP.finditer(text, found.start(), end)]
    if end < len(text) and (text[end].isalnum() or text[end] == "_"):
        groups.pop()  # the beginning of a word, such as the 5 of 5pm
    out, at, first = [], found.start(), 0
    while first < len(groups):
        count = find(groups[first : first + _CARD_DIGITS.stop])
        if count:
            out += [text[at : groups[first][0].start()], mark]
            at = groups[first + count - 1][0].end()
        first += count or 1
    return "".join(out) + text[at:end]


def _card(groups: _Groups) -> int:
    """Find the longest card number that begins with the first group."""
    if not 2 <= groups[0][1][0] <= 6:
        return 0
    # Luhn's sum doubles every second digit, counted from the last: both ways to count are kept, by the place's parity.
    plain, doubled = [0, 0], [0, 0]
    length = longest = 0
    for count, (_, digits) in enumerate(groups, start=1):
        for digit in digits:
            plain[length % 2] += digit
            doubled[length % 2] += 2 * digit - 9 * (digit > 4)
            length += 1
        if length >= _CARD_DIGITS.stop:
            break
        if length in _CARD_DIGITS and (plain[(length - 1) % 2] + doubled[length % 2]) % 10 == 0:
            longest = count
    return longest


def _phone(groups: _Groups) -> int:
    """Find the longest phone number that begins with the first group."""
    first = groups[0][0]
    if first.group()[0] not in "+(0":
        written = _NORTH_AMERICAN.match(first.string, first.start())
        return 0 if written is None else sum(group.end() <= written.end() for group, _ in groups)
    total = longest = 0
    for count, (group, digits) in enumerate(groups, start=1):
        total += len(digits)
        if total >= _PHONE_DIGITS.stop or _DATE.match(group.string, group.start()):
            break
        if total in _PHONE_DIGITS:
            longest = count
    return longest


def _digits(group: re.Match[str]) -> list[int]:
    return [int(char) for char in group.group()[-_CARD_DIGITS.stop :] if char.isdecimal()]
