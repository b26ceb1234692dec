"""The memory of finished ids is bounded and forgets the oldest first."""

from __future__ import annotations

import pytest

from streams.delivery.dispatch import FinishedIds


def ids(numbers: range) -> list[bytes]:
    return [str(number).encode() for number in numbers]


def test_remembers_what_was_added() -> None:
    finished = FinishedIds()
    assert b"a" not in finished
    finished.add(b"a")
    finished.add(b"a")
    assert b"a" in finished
    assert len(finished) == 1


@pytest.mark.parametrize("limit", [1, 2, 3, 10, 1000])
def test_is_bounded_at_every_size(limit: int) -> None:
    finished = FinishedIds(limit)
    for count, message_id in enumerate(ids(range(5 * limit)), start=1):
        finished.add(message_id)
        assert len(finished) <= limit
        assert message_id in finished
        recent = ids(range(max(0, count - limit // 2), count))
        assert all(each in finished for each in recent)


def test_forgets_the_oldest_first() -> None:
    finished = FinishedIds(10)
    for message_id in ids(range(11)):
        finished.add(message_id)
    kept = [message_id for message_id in ids(range(11)) if message_id in finished]
    assert kept == ids(range(6, 11))
