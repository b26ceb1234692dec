"""Logging: one structured line an event, with redaction of our own lines and of those of the libraries."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, MutableMapping
from typing import Any

import stamina.instrumentation
import structlog

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


def configure_logging(
    *, json: bool = False, level: str = "info", libraries: int = logging.ERROR, redact: Collection[Redaction] = ()
) -> None:
    """One structured line an event on standard error; the Kafka libraries speak up from the level ``libraries`` on.

    What ``redact`` names is taken out of both.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(RedactedRecords("%(levelname)s %(name)s %(message)s", redact))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in ("aiokafka", "faust", "mode"):
        logging.getLogger(name).setLevel(libraries)
    # What it says at start about InitProducerId is how the embedded broker is told from Apache Kafka.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            RedactedLines(redact),
            structlog.processors.JSONRenderer()
            if json
            else structlog.dev.ConsoleRenderer(colors=False, sort_keys=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
