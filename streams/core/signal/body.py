"""From what came over the wire to one JSON object: bytes, text, a stream's events or its list of chunks."""

from __future__ import annotations

import json
from typing import Any

import orjson

from schemas.signal import Reason, Unscorable
from streams.core.signal.stream import is_chunk, merge

_NO_BODY = Unscorable(reason=Reason.NO_ANSWER, detail="the body is empty")
_NOT_JSON = Unscorable(reason=Reason.NOT_JSON, detail="the body is not JSON")
_ERROR_EVENT = Unscorable(reason=Reason.ERROR_BODY, detail="the stream ends in an error")
_NOT_AN_OBJECT = Unscorable(reason=Reason.NOT_JSON, detail="the body is not an object")


def parse(body: object) -> dict[str, Any] | Unscorable:
    """Return the body as one JSON object, the chunks of a stream joined, or why that cannot be done.

    Takes an object or a list already parsed, or bytes or text: JSON, server-sent events (``data: {...}``), or one
    JSON object a line.
    """
    if isinstance(body, bytes | bytearray | memoryview | str):
        body = _loads(body)
    if isinstance(body, Unscorable):
        return body
    if body is None:
        return _NO_BODY
    if isinstance(body, list):
        return merge(body)
    if not isinstance(body, dict):
        return _NOT_AN_OBJECT
    return merge([body]) if is_chunk(body) else body


def _loads(data: bytes | bytearray | memoryview | str) -> object:
    text = (data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")).removeprefix("\ufeff")
    if not text.strip():
        return None
    try:
        return loads(text)
    except (ValueError, RecursionError):
        return _lines(text)


def loads(text: str | bytes) -> Any:
    """Return what a JSON text says, NaN and lone surrogates included; raises ValueError or RecursionError."""
    try:
        return orjson.loads(text)
    except ValueError:
        # Real servers also write NaN and lone surrogates, which Python's own reader takes.
        return json.loads(text)


def _lines(text: str) -> object:
    """Read server-sent events or one object a line."""
    events: list[object] = []
    sent = False
    for line in text.split("\n"):  # not splitlines: JSON text may hold the other line ends as they are
        if line.startswith("event:") and line.removeprefix("event:").strip() in ("error", "exception"):
            return _ERROR_EVENT
        sent = sent or line.startswith("data:")
        data = line.removeprefix("data:").strip()
        if not data or data == "[DONE]" or line.startswith((":", "event:", "id:", "retry:")):
            continue
        try:
            events.append(loads(data))
        except (ValueError, RecursionError):
            return _NOT_JSON
    return events if len(events) > 1 or sent else _NOT_JSON
