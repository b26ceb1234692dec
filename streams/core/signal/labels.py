"""The labels a ticket can get, and which of them a piece of text can be the beginning of."""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

from schemas.base import MAX_NAME
from streams.core.signal.thought import answer_part
from streams.core.signal.token_bytes import from_bytes, is_partial, to_bytes
from streams.errors import SettingsError

_SPACE = "".join(chr(code) for code in range(0x3001) if chr(code).isspace())
#: Characters without a width: joiners, byte order marks, and the marks of right-to-left text.
_SPACE += "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_QUOTES = "\"'`*\u201c\u201d\u201e\u2018\u2019\u201a\u00ab\u00bb\u300c\u300d\u300e\u300f"
#: What may stand before a label without being part of it.
LEADING = _SPACE + _QUOTES + "([\uff08\u3010"
#: What may stand after a label without being part of it.
TRAILING = (
    _SPACE
    + _QUOTES
    + ".,;:!?)]}\u3002\u3001\uff0c\uff0e\uff01\uff1a\uff1b\uff1f\uff09\u3011\u061f\u060c\u061b\u06d4\u0964\u2026"
)

#: What models begin a sentence with instead of an answer, though it could be the beginning of a label.
_COMMON_WORDS = frozenset(
    "a after an and any are as at based because but by can could der des die das do each ein eine el es for from given he"
    " here how i ich if il in is it its la las le les let lo los me my not of on one or our please she should sie since so"
    " sorry that the their then there these they this those to un una up us we well what when where which while will with"
    " would you your".split()
)

#: Every message carries a number for each label, for each tier, and has to stay below Kafka's 1 MiB.
MAX_LABELS = 1_000
_MAX_BYTES = 100_000
#: Tokens come again and again: up to this many texts of at most this many characters are remembered; then all are forgotten.
_REMEMBERED = 1_024
_SHORT = 64


def fold(text: str) -> str:
    """Return the text without the differences that do not count.

    These are case, the ways to write a character that NFKC makes one (accents, full width, ligatures), and the dot of
    the Turkish i: ``İade``, ``IADE`` and ``iade`` are the same.
    """
    if text.isascii():
        return text.lower()
    # Case folding can undo the normal form, and the normal form can bring capitals: Unicode's own rule does it twice.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", folded.replace("i\u0307", "i").replace("\u0131", "i"))


@dataclass(frozen=True)
class LabelSet:
    """The labels of one question, and how the model is asked to write each of them.

    ``answers`` is what the model writes, in the order of ``labels``; empty means the labels themselves. No answer is
    the beginning of another one, so that a complete answer is never only half of a longer one.

    Raises SettingsError for fewer than two labels, labels that are empty or the same but for case, quotes and
    punctuation, and labels that begin one another.
    """

    labels: tuple[str, ...]
    answers: tuple[str, ...] = ()
    _whole: dict[str, str] = field(init=False, repr=False, compare=False)
    _prefixes: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _known: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _beside: dict[str, _Beside] = field(init=False, repr=False, compare=False)
    _spellings: dict[str, frozenset[bytes]] = field(init=False, repr=False, compare=False)

    def __init__(self, labels: Sequence[str], answers: Sequence[str] = ()) -> None:
        if isinstance(labels, str):
            raise SettingsError(f"labels must be a list of labels, not the one text {labels!r}")
        object.__setattr__(self, "labels", tuple(labels))
        object.__setattr__(self, "answers", tuple(answers) or self.labels)
        whole = _checked(self.labels, self.answers)
        _refuse_prefixes(whole)
        prefixes: dict[str, tuple[str, ...]] = {}
        for key, label in whole.items():
            # A model may write an accent as a character after its letter, which another token then begins with.
            apart = unicodedata.normalize("NFD", key)
            for start in dict.fromkeys(way[:end] for way in (key, apart) for end in range(1, len(way) + 1)):
                prefixes[start] = (*prefixes.get(start, ()), label)
        object.__setattr__(self, "_whole", whole)
        object.__setattr__(self, "_prefixes", prefixes)
        object.__setattr__(self, "_known", {})
        object.__setattr__(self, "_beside", {})
        written = zip(whole.items(), self.answers, strict=True)
        object.__setattr__(self, "_spellings", {label: _spellings(key, answer) for (key, label), answer in written})

    @classmethod
    def aliased(cls, labels: Sequence[str]) -> Self:
        """Return a set whose labels the model writes as letters: A, B, C and so on; AA, AB past 26 labels.

        It takes labels that begin one another or share their first token.
        """
        letters = string.ascii_uppercase
        names = list(letters) if len(labels) <= len(letters) else [a + b for a in letters for b in letters]
        if len(labels) > len(names):
            raise SettingsError(f"{len(labels)} labels are too many for aliases of two letters ({len(names)})")
        return cls(labels, names[: len(labels)])

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    @cached_property
    def written(self) -> dict[str, str]:
        """Label to what the model is asked to write for it."""
        return dict(zip(self.labels, self.answers, strict=True))

    def match(self, text: str) -> str | None:
        """Return the label that the text is, but for case and surrounding space, quotes and punctuation; or None."""
        return self._whole.get(fold(text.lstrip(LEADING).rstrip(TRAILING)))

    def owners(self, text: str) -> tuple[str, ...]:
        """Return the labels that begin with this text, in the labels' order.

        Space and quotes before the text do not count. A text that is a whole label and then only space, quotes and
        punctuation (``refund"}``) belongs to that label; one that goes on (``refunds``) does not.
        """
        known = self._known.get(text)
        if known is None:
            known = self._owners(text)
            if len(text) <= _SHORT:
                _remember(self._known, text, known)
        return known

    def beside(self, written: str) -> Mapping[str, str | None]:
        """Return the only label that each text begins which a model could have written instead of ``written``, or None.

        ``written`` is the answer up to where the token ends that the texts stand beside. A tokenizer spells a word in
        one way: a text that stops short of what was written ("I" beside "Invoice") begins another word, and so does a
        common word in other letters than the answer's ("The" beside "theft").
        """
        known = self._beside.get(written)
        if known is None:
            known = _Beside(self, written)
            if len(written) <= _SHORT:
                _remember(self._beside, written, known)
        return known

    def _owners(self, text: str) -> tuple[str, ...]:
        bare = text.lstrip(LEADING)
        key = fold(bare)
        owners = self._prefixes.get(key)
        if owners is not None:
            return owners
        label = self._whole.get(key.rstrip(TRAILING))
        if label is not None:
            return (label,)
        if is_partial(bare):
            return self._owners_of_bytes(bare)
        return ()

    def _owners_of_bytes(self, key: str) -> tuple[str, ...]:
        # Half a character: only bytes can be compared, with each way in which the label may be written.
        data = to_bytes(key)
        whole = from_bytes(data)
        if not is_partial(whole):
            return self._prefixes.get(fold(whole), ())
        return tuple(label for label, ways in self._spellings.items() if any(way.startswith(data) for way in ways))


class _Beside(dict[str, "str | None"]):
    """Text to the label that it begins beside what was written; looked up once for each text."""

    def __init__(self, labels: LabelSet, written: str) -> None:
        super().__init__()
        self._labels = labels
        self._written = written

    def __missing__(self, text: str) -> str | None:
        """Look it up."""
        owners = self._labels.owners(text)
        owner = owners[0] if len(owners) == 1 else None
        if owner is not None:
            answer = self._labels.written[owner].lstrip(LEADING)
            owner = None if _begins_something_else(text, self._written, answer) else owner
        if len(text) <= _SHORT:
            _remember(self, text, owner)
        return owner


def _remember(known: dict[Any, Any], key: object, value: object) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()
    known[key] = value


def _begins_something_else(text: str, written: str, answer: str) -> bool:
    bare = text.lstrip(LEADING)
    if written.startswith(bare) or (not bare.isascii() and to_bytes(written).startswith(to_bytes(bare))):
        # Behind a quote the same word may be cut in another way.
        return bare != written and not text.removesuffix(bare).strip()
    if answer.startswith(bare):
        return False
    word = fold(bare).rstrip(TRAILING)
    return (len(word) == 1 and word.isalpha()) or word in _COMMON_WORDS or (word == "no" and fold(answer) != word)


def _checked(labels: tuple[str, ...], answers: tuple[str, ...]) -> dict[str, str]:
    """Return folded answer to label; raises SettingsError with the first thing that is wrong."""
    if len(labels) < 2:
        raise SettingsError(f"at least two labels are needed, {len(labels)} given")
    if len(labels) != len(answers):
        raise SettingsError(f"{len(labels)} labels need as many answers, {len(answers)} given")
    for text in (*labels, *answers):
        if not isinstance(text, str) or not text.strip(LEADING + TRAILING):
            raise SettingsError(f"label {text!r} is empty")
        if answer_part(text) != (len(text) - len(text.lstrip()), len(text.rstrip())):
            raise SettingsError(f"label {text[:40]!r} looks like a marker of a thought or of a tool call: rename it")
        if len(text) > MAX_NAME or not text.isprintable():
            raise SettingsError(f"label {text[:40]!r} must be one line of at most {MAX_NAME} printable characters")
    if len(labels) > MAX_LABELS or len("".join(labels).encode()) > _MAX_BYTES:
        raise SettingsError(f"at most {MAX_LABELS} labels of {_MAX_BYTES} bytes together fit into a message")
    if len(set(labels)) < len(labels):
        raise SettingsError(f"label {next(x for x in labels if labels.count(x) > 1)!r} is given twice")
    whole: dict[str, str] = {}
    for label, answer in zip(labels, answers, strict=True):
        key = fold(answer.lstrip(LEADING).rstrip(TRAILING))
        if key in whole:
            raise SettingsError(
                f"labels {whole[key]!r} and {label!r} differ only in case, the way a character is written, quotes or "
                "punctuation: rename one"
            )
        whole[key] = label
    return whole


def _spellings(key: str, answer: str) -> frozenset[bytes]:
    """Return the ways in which a model may write an answer whose characters its tokens cut through."""
    bare = answer.lstrip(LEADING).rstrip(TRAILING)
    ways = {key, bare, bare.lower(), bare.upper(), bare.title(), bare.capitalize()}
    ways |= {unicodedata.normalize("NFD", way) for way in ways}
    return frozenset(map(to_bytes, ways))


def _refuse_prefixes(whole: dict[str, str]) -> None:
    # Sorted, a text that begins others has one of them directly after it.
    ordered = sorted(whole)
    for short, long in pairwise(ordered):
        if long.startswith(short):
            raise SettingsError(
                f"label {whole[short]!r} is the beginning of label {whole[long]!r}, so that half an answer would look "
                "whole: rename one or set label_aliases (A, B, C ...)"
            )
