"""Files in the encodings that programs save them in."""

from __future__ import annotations

import codecs

#: Name of an encoding with a byte order mark to how a text is saved in it.
MARKED = {
    "UTF-8": ("utf-8", codecs.BOM_UTF8),
    "UTF-16 LE": ("utf-16-le", codecs.BOM_UTF16_LE),
    "UTF-16 BE": ("utf-16-be", codecs.BOM_UTF16_BE),
    "UTF-32 LE": ("utf-32-le", codecs.BOM_UTF32_LE),
    "UTF-32 BE": ("utf-32-be", codecs.BOM_UTF32_BE),
}


def marked(text: str, name: str, errors: str = "strict") -> bytes:
    """Return the text as a program saves it in that encoding, with a byte order mark."""
    codec, mark = MARKED[name]
    return mark + text.encode(codec, errors)
