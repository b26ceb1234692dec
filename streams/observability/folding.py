"""Folds log lines that repeat: the first of a kind is written, then one a minute that says how many were left out.

An unavailable broker makes its clients log hundreds of lines a second, in a dozen wordings. Everything that is logged
passes here, from any logger.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

EVERY_S = 60.0
#: How many kinds are remembered; of those that were not seen for longest, the next line is written as a first one.
_KINDS = 1_000
#: The libraries under a Kafka client. What they say of a connection that is lost is one kind, however they put it.
KAFKA_LIBRARIES = ("aiokafka", "faust", "mode")
_CONNECTION = re.compile(
    r"connect|not.?ready|update metadata|session expired|tim(?:e|ed) ?out|hang|closed", re.IGNORECASE
)
#: Facts that differ from line to line of one kind.
_VARYING = frozenset({"timestamp", "agent"})


class Folding(logging.Filter):
    """Lets a record pass, or leaves it out; ``repeated`` of one that passes is how many were left out before it.

    Only warnings and errors are folded. Of our own lines those are one kind that say the same, whichever agent says it;
    of a library's, those of one message before its values are filled in. ``now`` is in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._seen: OrderedDict[Hashable, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is to be written."""
        if record.levelno < logging.WARNING:
            return True
        if _abandoned(record) or _is_of_a_new_cluster(record):
            return False
        kind = _kind(record)
        written_at, left_out = self._seen.get(kind, (-EVERY_S, 0))
        now = self._now()
        passes = now - written_at >= EVERY_S
        self._seen[kind] = (now, 0) if passes else (written_at, left_out + 1)
        self._seen.move_to_end(kind)
        if len(self._seen) > _KINDS:
            self._seen.popitem(last=False)
        record.repeated = left_out
        return passes


def _abandoned(record: logging.LogRecord) -> bool:
    """Return whether asyncio reports a request or a connection whose caller has given it up, and has said so."""
    if record.name == "asyncio" and str(record.msg).startswith("Unclosed AIOKafkaConnection"):
        return True  # a broker that froze: its collection closes it
    # Not always a tuple: asyncio logs an error without an exception with exc_info=False.
    raised = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    return record.name == "asyncio" and isinstance(raised, KafkaError)


def _is_of_a_new_cluster(record: logging.LogRecord) -> bool:
    """Return whether aiokafka reports that Kafka is about to make the topic of its groups' offsets: it asks again."""
    arguments = record.args if isinstance(record.args, tuple) else ()
    return any(isinstance(argument, GroupCoordinatorNotAvailableError) for argument in arguments)


def _kind(record: logging.LogRecord) -> Hashable:
    if isinstance(record.msg, dict):  # a line of ours, which structlog has handed over
        return tuple(sorted((name, str(value)) for name, value in record.msg.items() if name not in _VARYING))
    library = record.name.partition(".")[0]
    if library in KAFKA_LIBRARIES and _CONNECTION.search(record.getMessage()):
        return library
    return record.name, record.msg
