"""Notices that the local embedding model, which knows English, is given something else."""

from __future__ import annotations

from collections.abc import Sequence

from streams.core.memory.language import looks_english
from streams.embedding.minilm import MODEL

#: Texts that are looked at.
_SAMPLE = 200

NOT_ENGLISH = (
    "the {what} do not look English, which is all that the local embedding model knows: name a multilingual one, "
    "such as multilingual-e5-small, in memory.embedding"
)


class EnglishOnly:
    """Looks at the first texts that an embedding model is given; ``look`` returns a line about them, once at most.

    ``what`` is what the line calls them.
    """

    def __init__(self, model: str, what: str = "labelled tickets") -> None:
        self._what = what
        self._texts: list[str] | None = [] if model == MODEL else None

    def look(self, texts: Sequence[str]) -> str | None:
        """Return what is wrong with the texts; None if nothing is, or if it was said before."""
        if self._texts is None or len(self._texts) >= _SAMPLE:
            return None
        self._texts += texts[: _SAMPLE - len(self._texts)]
        if looks_english(self._texts) is not False:
            return None
        self._texts = None
        return NOT_ENGLISH.format(what=self._what)
