"""Text from outside, made fit for a terminal."""

from __future__ import annotations


def plain(text: str) -> str:
    """Return the text without the characters that a terminal obeys: an escape sequence in a ticket is data.

    Line breaks and tabs stay; what is left out shows as U+FFFD.
    """
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
