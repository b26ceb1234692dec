"""What has come to the queue of reviews since it was last counted, so that its limits hold in between too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: A review that was let through is taken to be in the queue after this, seconds: another process may have stored it.
_ON_ITS_WAY_S: Final = 10.0


class ReviewArrivals:
    """Adds to the last count what this process has stored since, and what it has let through and not seen stored.

    So a limit is met a little early rather than late. None is no limit.
    """

    def __init__(self, max_waiting: int | None, max_per_hour: int | None) -> None:
        self._limits = max_waiting, max_per_hour
        self._counts: tuple[int, int] | None = None
        self._on_their_way: dict[str, float] = {}
        self._stored = self._stored_later = 0

    @property
    def are_full(self) -> bool:
        """Whether one more review may be over a limit; False as long as nothing was counted here."""
        if self._counts is None:
            return False
        new = self._stored + self._stored_later + len(self._on_their_way)
        return any(
            most is not None and count + new >= most for count, most in zip(self._counts, self._limits, strict=True)
        )

    def passed(self, review_ids: Iterable[str], now: float) -> None:
        """Take that reviews are on their way to the queue at ``now`` (seconds)."""
        self._on_their_way |= dict.fromkeys(review_ids, now)

    def stored(self, review_id: str) -> None:
        """Take that a review is in the queue."""
        self._on_their_way.pop(review_id, None)
        self._stored_later += 1

    def counting(self, now: float) -> None:
        """Take that the queue is about to be counted at ``now``: what is stored from now on may not be in the count."""
        late = now - _ON_ITS_WAY_S
        self._on_their_way = {review_id: at for review_id, at in self._on_their_way.items() if at > late}
        self._stored, self._stored_later = self._stored + self._stored_later, 0

    def counted(self, waiting: int, per_hour: int) -> None:
        """Take how many reviews wait, and how many came within an hour."""
        self._counts = waiting, per_hour
        self._stored = 0
