"""Whether texts look English, which is all that the local embedding model knows."""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Words that stand in almost every English sentence and are hardly words anywhere else.
_COMMON = frozenset(
    "the and is to my it for you not have this of with that what how can your be are was there when why please would".split()
)
_WORD = re.compile(r"\w+")
#: Some 30 % of the words of English messages are among them, and below 3 % of those in other languages.
_LEAST_SHARE = 0.10
#: Fewer words than these say too little.
_ENOUGH_WORDS = 100


def looks_english(texts: Iterable[str]) -> bool | None:
    """Return whether texts look English; None if there are too few words to say."""
    words = [word for text in texts for word in _WORD.findall(text.lower())]
    if len(words) < _ENOUGH_WORDS:
        return None
    return sum(word in _COMMON for word in words) >= _LEAST_SHARE * len(words)
