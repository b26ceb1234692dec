"""Text from outside, made fit for a page: it is escaped, and what cannot be seen is shown."""

from __future__ import annotations

import re
import unicodedata

from markupsafe import Markup, escape

#: Line breaks and tabs are seen as such; the joiners belong to the spelling of many languages, and to emoji.
_SEEN = "\n\t\u200c\u200d"
#: Controls, formats (those of writing direction among them), lone surrogates, private use and line separators.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_MAYBE = re.compile(r"[^\x20-\x7e\n\t]")


def hidden(char: str) -> bool:
    """Return whether a character changes what is seen without being seen itself."""
    return char not in _SEEN and unicodedata.category(char) in _HIDDEN_CATEGORIES


def visible(text: str) -> Markup:
    """Return a text as HTML: no markup of its own works, and each hidden character shows as its number, U+202E."""
    return Markup(_MAYBE.sub(_shown, str(escape(text.replace("\r\n", "\n")))))  # noqa: S704 - escaped just now


def plain_visible(text: str) -> str:
    """Return a text for an attribute or a title, where no markup can stand: hidden characters as ⟨U+202E⟩."""
    return _MAYBE.sub(lambda found: f"⟨{_code(found.group())}⟩" if hidden(found.group()) else found.group(), text)


def _shown(found: re.Match[str]) -> str:
    char = found.group()
    if not hidden(char):
        return char
    name = unicodedata.name(char, "control character").lower()
    return f'<span class="hidden-char" title="{escape(name)}">{_code(char)}</span>'


def _code(char: str) -> str:
    return f"U+{ord(char):04X}"
