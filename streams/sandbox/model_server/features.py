"""What the two classifiers look at in a message: its words, or its words, phrases and pieces of words."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"\w+")

_PHRASE_WORDS = (2, 3)
"""Lengths of the word sequences, in words."""

_PIECE_CHARACTERS = (2, 3, 4, 5)
"""Lengths of the pieces of words, in characters; a word's two ends are marked."""


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, in order, with repeats."""
    return _WORD.findall(text.lower())


def words_phrases_and_pieces(text: str) -> list[str]:
    """Return words, phrases of two and three words, and pieces of two to five characters, all in one list.

    Pieces forgive typing errors and endings; they carry a leading ``#`` so that none is taken for a word.
    """
    found = words(text)
    features = list(found)
    for length in _PHRASE_WORDS:
        features += (" ".join(found[i : i + length]) for i in range(len(found) - length + 1))
    for word in found:
        features += _pieces(f"<{word}>")
    return features


def _pieces(word: str) -> Iterator[str]:
    for length in _PIECE_CHARACTERS:
        for i in range(len(word) - length + 1):
            yield f"#{word[i : i + length]}"
