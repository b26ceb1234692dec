"""What redaction takes for an address, a card or a phone number, and what it leaves."""

from __future__ import annotations

import sys

import pytest

from schemas import MAX_TEXT
from streams.core.signal.redaction import Redaction, redact

ALL: tuple[Redaction, ...] = ("email", "card", "phone")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("write to jo.doe+shop@mail.example.co.uk.", "write to [email]."),
        ("'bob@example.com'", "'[email]'"),
        ("mailto:o'neil@example.com?subject=x", "mailto:[email]?subject=x"),
        ("user@localhost has no dot", "user@localhost has no dot"),
        ("my card is 4111 1111 1111 1111 12/27, cvc 123", "my card is [card] 12/27, cvc 123"),
        ("4111-1111-1111-1112", "4111-1111-1111-1112"),  # the check digit is wrong
        ("amex 378282246310005!", "amex [card]!"),
        ("call (555) 123-4567 or 1-555-123-4567", "call [phone] or [phone]"),
        ("call +49 (0)30 1234567 5pm", "call [phone] 5pm"),
        ("030/1234567 on 2026-01-02", "[phone] on 2026-01-02"),
        ("0301234567 2026-01-02", "[phone] 2026-01-02"),
        ("order 12345678 of 2026-01-02 for 1,299.00 USD", "order 12345678 of 2026-01-02 for 1,299.00 USD"),
        ("from 192.168.100.100", "from 192.168.100.100"),
        ("id 0123456789abcdef", "id 0123456789abcdef"),
    ],
)
def test_examples(text: str, redacted: str) -> None:
    assert redact(text, ALL) == redacted


def test_only_what_is_asked_for() -> None:
    text = "a@b.example 4111111111111111 +493012345678"
    assert redact(text, ["email"]) == "[email] 4111111111111111 +493012345678"
    assert redact(text, ["card"]) == "a@b.example [card] +493012345678"
    assert redact(text, ["phone"]) == "a@b.example 4111111111111111 [phone]"


@pytest.mark.parametrize(
    "unit", ["a@", "a.", "1 ", "0", "(", "+", "1-", "a@a.", "+1", "0 ", ".", "1@", "4 ", "555-123-"]
)
def test_the_work_grows_with_the_text_and_not_with_its_square(unit: str) -> None:
    """Counted in steps of the interpreter; then on a text of the greatest length."""
    steps = {}
    for length in (300, 600):
        count = 0

        def counted(*_: object) -> object:
            nonlocal count
            count += 1
            return counted

        sys.settrace(counted)  # type: ignore[arg-type]
        try:
            redact(unit * length, ALL)
        finally:
            sys.settrace(None)
        steps[length] = count
    assert steps[600] <= 2.2 * steps[300]
    redact(unit * (MAX_TEXT // len(unit)), ALL)
