"""A record that cannot be handled, as the dead letter that keeps its bytes, origin and reason."""

from __future__ import annotations

from schemas import DeadLetter, stable_id
from streams.delivery.stage import Record

#: How many original bytes are kept if the broker would not take the whole.
CUT_TO = 256 * 1024
_MAX_CUT_KEY = 1024
_MAX_DETAIL = 2_000


def dead_letter(
    record: Record, *, agent: str, reason: str, error: BaseException, attempts: int, at_ms: int
) -> DeadLetter:
    """Return the dead letter of a record; its id is the same at every redelivery."""
    value = record.value or b""
    return DeadLetter(
        letter_id=stable_id("dead-letter", record.topic, str(record.partition), str(record.offset)),
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        key_size=None if record.key is None else len(record.key),
        original=value,
        original_size=len(value),
        tombstone=record.value is None,
        agent=agent,
        reason=reason,
        error_class=type(error).__name__,
        # An error may quote what it met, lone surrogates among it, which JSON in UTF-8 cannot carry.
        detail=str(error)[:_MAX_DETAIL].encode("utf-8", "replace").decode("utf-8"),
        attempts=attempts,
        at_ms=at_ms,
    )


def shortened(letter: DeadLetter) -> DeadLetter:
    """Return the letter with its original bytes cut, for a broker that refuses the whole; a cut one comes back as it is."""
    key = None if letter.key is None else letter.key[:_MAX_CUT_KEY]
    return letter.model_copy(update={"original": letter.original[:CUT_TO], "key": key})
