"""Text of tokens, which may end in the middle of a character or come back as a number.

A token of a byte-level tokenizer can hold half a character. Such bytes are kept as the private-use characters
U+EF80 to U+EFFF, one per byte, so that a token's text is always valid Unicode and neighbours can be joined again.

Servers also give the vocabulary's own spelling of a token: SentencePiece's ``▁`` for a space and ``<0xE9>`` for a byte,
byte-level BPE's alphabet (``Ġ`` for a space, ``Ċ`` for a line end, ``éĢĢ`` for 退), or the bytes written out
(``\\xe9\\x80``).
"""

from __future__ import annotations

import re

#: What a server writes for bytes that it could not decode.
UNDECODED = "\ufffd"
_ESCAPED = {0xDC80 + i: 0xEF80 + i for i in range(128)}
_UNESCAPED = {0xEF80 + i: 0xDC80 + i for i in range(128)}
_PARTIAL = re.compile("[\uef80-\uefff]")
#: OpenAI writes a partial character as ``bytes:\xe2\x80`` or ``\xe2\x80``; SentencePiece vocabularies as ``<0xE2>``.
_BYTES_TOKEN = re.compile(r"(?:bytes:)?((?:\\x[0-9a-fA-F]{2})+)")
_HEX_BYTES = re.compile(r"(?:<0x[0-9a-fA-F]{2}>)+")
_ID_TOKEN = re.compile(r"token_id:\d+")
_SPECIAL = ("token_id:", "bytes:", "<0x")
#: Byte-level BPE writes each byte as one character: those that print as themselves, the others from U+0100 on.
_PRINTS = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_BYTE_OF = {chr(byte): byte for byte in _PRINTS} | {
    chr(0x100 + n): byte for n, byte in enumerate(byte for byte in range(256) if byte not in _PRINTS)
}
_BYTE_OF |= {" ": 0x20, "\n": 0x0A, "\t": 0x09, "\r": 0x0D}
_NOT_WRITTEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Return the text with lone surrogates as "?" and SentencePiece's spellings as what they stand for."""
    if "<0x" in text:
        text = _HEX_BYTES.sub(
            lambda found: from_bytes(bytes.fromhex(found[0].replace("<0x", "").replace(">", ""))), text
        )
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8").replace("\u2581", " ")


def from_byte_level(text: str) -> str | None:
    """Return what a text in the alphabet of byte-level BPE stands for; None for a text that is not written in it.

    Only the caller knows whether the text may be in that alphabet: ``Ã©`` is two letters there and ``é`` here.
    """
    if text.isascii():
        return None
    try:
        plain = from_bytes(bytes([_BYTE_OF[character] for character in text]))
    except KeyError:
        return None
    return None if _NOT_WRITTEN.search(plain) else plain


def from_bytes(data: bytes) -> str:
    """Decode UTF-8; bytes that are not a whole character become private-use characters."""
    return data.decode("utf-8", "surrogateescape").translate(_ESCAPED)


def to_bytes(text: str) -> bytes:
    """Return what ``from_bytes`` was given; ``text`` holds no surrogates (see ``clean``)."""
    if text.isascii():
        return text.encode()
    return text.translate(_UNESCAPED).encode("utf-8", "surrogateescape")


def is_partial(text: str) -> bool:
    """Return whether the text holds bytes that are not a whole character."""
    return _PARTIAL.search(text) is not None


def piece(token: object, raw: object) -> str | None:
    """Return the text that a token stands for, or None if the response does not say it.

    ``raw`` is the token's ``bytes`` field: a list of integers, null or missing. It is used if the token itself is
    no text: missing or empty, vLLM's ``token_id:N``, or a part of a character.
    """
    if token is None:
        return _spelled(raw)
    if not isinstance(token, str):
        return None
    special = token.startswith(_SPECIAL) or "\\x" in token
    longer = isinstance(raw, list) and len(raw) > len(token)
    if not special and not longer and token.isascii():
        return token  # nearly every one: there are twenty next to each token
    cut = longer and _is_cut(token, raw)
    if special or cut or UNDECODED in token or _is_byte_level(token, raw):
        text = _spelled(raw)
        if text is not None and text != token:
            return text
        if _ID_TOKEN.fullmatch(token):
            return None
        found = _BYTES_TOKEN.fullmatch(token)
        if found:
            return from_bytes(bytes.fromhex(found[1].replace("\\x", "")))
    return clean(token)


def _is_byte_level(token: str, raw: object) -> bool:
    """Return whether the token is in the byte-level alphabet and its bytes say what it stands for."""
    text = _from_list(raw)
    return text is not None and text != token and from_byte_level(token) == text


def _is_cut(token: str, raw: object) -> bool:
    """Return whether the token is its bytes without the half character at their end, as llama.cpp writes it."""
    text = _from_list(raw)
    return text is not None and (not token or (is_partial(text) and text.startswith(token)))


def _spelled(raw: object) -> str | None:
    """Return the text of a token's bytes, or None if there are none or they only spell its id."""
    text = _from_list(raw)
    return None if text is None or _ID_TOKEN.fullmatch(text) else clean(text)


def _from_list(raw: object) -> str | None:
    if not isinstance(raw, list) or not raw:
        return None
    try:
        return from_bytes(bytes(raw))
    except (TypeError, ValueError, OverflowError):
        return None
