"""Logging: one line an event, ours and the libraries' alike: with its time, folded where it repeats, redacted."""

from __future__ import annotations

import logging
import sys
import textwrap
from collections.abc import Collection, MutableMapping
from typing import Any, TextIO

import stamina.instrumentation
import structlog
from rich.console import Console

from streams.core.signal.redaction import Redaction, redact
from streams.observability.folding import KAFKA_LIBRARIES, Folding


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


class PlainLines:
    """The structlog processor that makes text of an event, broken between words where a terminal is too narrow."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._render = structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> str:
        """Return the event's text, without a line end after it."""
        text, *traceback = self._render(logger, method, line).split("\n")
        if self._console.is_terminal:
            text = textwrap.fill(
                text, self._console.width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
            )
        return "\n".join([text, *traceback])


class _Handler(logging.StreamHandler[TextIO]):
    """The one way out of every line."""


def configure_logging(
    *, json: bool = False, level: str = "info", libraries: int = logging.ERROR, redact: Collection[Redaction] = ()
) -> None:
    """One line an event on standard error, with its time in UTC, from any logger; what repeats is folded.

    A terminal gets an event that is wider than it is as several lines, a file or a pipe never.

    The Kafka libraries speak up from the level ``libraries`` on. What ``redact`` names is taken out of every line.
    """
    stamp = structlog.processors.TimeStamper(fmt="iso")
    handler = _Handler(sys.stderr)
    handler.addFilter(Folding())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name, stamp],
            processors=[
                _repeats,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                RedactedLines(redact),
                structlog.processors.JSONRenderer() if json else PlainLines(Console(file=sys.stderr)),
            ],
        )
    )
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    root.handlers = [*(each for each in root.handlers if not isinstance(each, _Handler)), handler]
    logging.getLogger("streams").setLevel(level.upper())
    for name in KAFKA_LIBRARIES:
        logging.getLogger(name).setLevel(libraries)
    # What it says at start about InitProducerId is how the embedded broker is told from Apache Kafka.
    logging.getLogger("aiokafka.producer.sender").setLevel(logging.CRITICAL)
    stamina.instrumentation.set_on_retry_hooks([])
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            stamp,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )


def is_configured() -> bool:
    """Return whether ``configure_logging`` was called in this process."""
    return any(isinstance(each, _Handler) for each in logging.getLogger().handlers)


def _repeats(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add how many lines like this one were left out since the last one."""
    if repeated := getattr(line["_record"], "repeated", 0):
        line["repeated"] = repeated
    return line
