"""Redaction of what goes to the log: our own lines, and those of the libraries."""

from __future__ import annotations

import logging
from collections.abc import Collection, MutableMapping
from typing import Any

from streams.core.signal.redaction import Redaction, redact


class RedactedLines:
    """A structlog processor that redacts every text of a line, a traceback's too: to be the last before it is written."""

    def __init__(self, kinds: Collection[Redaction]) -> None:
        self._kinds = frozenset(kinds)

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the line, its texts redacted; a value that is no text is left if it looks the same redacted."""
        return {name: value if name == "timestamp" else self._redacted(value) for name, value in line.items()}

    def _redacted(self, value: object) -> object:
        if isinstance(value, bool | int | float) or value is None:
            return value
        text = value if isinstance(value, str) else str(value)
        redacted = redact(text, self._kinds)
        return value if redacted == text else redacted


class RedactedRecords(logging.Formatter):
    """A formatter for the standard library's log that redacts the finished text."""

    def __init__(self, layout: str, kinds: Collection[Redaction]) -> None:
        super().__init__(layout)
        self._kinds = frozenset(kinds)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text, redacted."""
        return redact(super().format(record), self._kinds)
