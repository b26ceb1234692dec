"""Redaction keeps its promises on any text: it never raises, a second time changes nothing, and the rest stays."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.signal.redaction import Redaction, redact

ALL: tuple[Redaction, ...] = ("email", "card", "phone")
#: Texts of what the patterns are made of, with a little of everything else.
HOSTILE = st.text(st.one_of(st.sampled_from("0123456789 +()-./@.aA_'%[]x²٣"), st.characters()), max_size=120)
WORDS = st.lists(
    st.sampled_from(["please", "help", "my", "order", "is", "late", "é", "12", "3.50", "!"]), max_size=8
).map(" ".join)
CARD = st.tuples(st.sampled_from("23456"), st.text("0123456789", min_size=11, max_size=17)).map("".join)
KINDS = st.sets(st.sampled_from(ALL))


def with_check_digit(digits: str) -> str:
    return next(digits + check for check in "0123456789" if luhn(digits + check))


def luhn(digits: str) -> bool:
    """The definition, digit by digit from the right."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        digit = int(char) * (1 + place % 2)
        total += digit // 10 + digit % 10
    return total % 10 == 0


@given(HOSTILE, KINDS)
@example("+49 +49 0301234567", {"phone"})
@example("4111 1111 1111 1111 12/27", {"card"})
def test_a_second_time_changes_nothing(text: str, kinds: set[Redaction]) -> None:
    once = redact(text, kinds)
    assert redact(once, kinds) == once


@given(HOSTILE, KINDS)
def test_what_is_not_replaced_stays_in_its_order(text: str, kinds: set[Redaction]) -> None:
    rest = re.split(r"(?s)\[email\]|\[card\]|\[phone\]", redact(text, kinds))
    at = 0
    for piece in rest:
        at = text.index(piece, at) + len(piece)


@given(HOSTILE)
def test_without_a_kind_nothing_is_touched(text: str) -> None:
    assert redact(text, ()) == text


@given(WORDS, CARD, WORDS, st.sampled_from(["", " ", "-"]))
def test_a_card_number_is_found_in_any_sentence(before: str, digits: str, after: str, separator: str) -> None:
    number = with_check_digit(digits)
    written = separator.join(re.findall(r"\d{1,4}", number))
    assert redact(f"{before}: {written}; {after}", ["card"]) == f"{before}: [card]; {after}"


@given(WORDS, st.from_regex(r"\A[a-z][a-z0-9._+-]{0,20}@[a-z0-9-]{1,10}(\.[a-z]{2,6}){1,2}\Z"), WORDS)
def test_an_address_is_found_in_any_sentence(before: str, address: str, after: str) -> None:
    assert redact(f"{before} <{address}>, {after}", ["email"]) == f"{before} <[email]>, {after}"


@given(WORDS, st.from_regex(r"\A(\+[1-9][0-9]{1,2}|0[1-9][0-9]{1,3})[ /-]?[0-9]{3}[ -]?[0-9]{3,5}\Z"), WORDS)
def test_a_phone_number_is_found_in_any_sentence(before: str, number: str, after: str) -> None:
    assert redact(f"{before}: {number}, {after}", ["phone"]) == f"{before}: [phone], {after}"
