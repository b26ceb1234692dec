"""How many reviews people can bear, and when there are more: beyond that, tickets wait before they get to the queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas import Alert
from streams.core.guards.finding import AlertKind, Finding

#: The source of the alerts about the queue of reviews.
SOURCE: Final = "reviews"
#: An overload is over at this share of its limits, so that it does not begin again with the next review.
_OVER: Final = 0.9
_SAID: Final = {"waiting": "waiting", "per_hour": "within an hour"}


class ReviewLoad:
    """Compares the queue of reviews with its limits; None is no limit."""

    def __init__(self, max_waiting: int | None, max_per_hour: int | None) -> None:
        self._limits = {"waiting": max_waiting, "per_hour": max_per_hour}
        self._said: bool | None = None

    def judge(self, waiting: int, per_hour: int, *, overloaded: bool) -> Finding | None:
        """Take how many reviews wait, how many came within an hour, and what the alerts topic says; return what is news.

        What was said is not said again while the topic does not have it yet.
        """
        if self._said == overloaded:
            self._said = None
        counts = {"waiting": waiting, "per_hour": per_hour}
        limited = {name: most for name, most in self._limits.items() if most is not None}
        over = {name: most for name, most in limited.items() if counts[name] >= most}
        if not overloaded and over:
            summary = f"too many reviews: {_said(counts, over)}; tickets that need a reviewer wait"
            found = Finding(AlertKind.REVIEW_OVERLOAD, SOURCE, summary, counts)
        elif overloaded and all(counts[name] <= _OVER * most for name, most in limited.items()):
            was = {"was": [AlertKind.REVIEW_OVERLOAD]}
            summary = "reviewers have room again" + (f": {_said(counts, limited)}" if limited else "")
            found = Finding(AlertKind.RECOVERED, SOURCE, summary, counts | was)
        else:
            return None
        if self._said is not None:
            return None
        self._said = not overloaded
        return found


def _said(counts: Mapping[str, int], limits: Mapping[str, int]) -> str:
    return " and ".join(f"{counts[name]} {_SAID[name]} (limit {most})" for name, most in limits.items())


class ReviewOverload:
    """Follows the alerts topic: whether there are too many reviews."""

    def __init__(self) -> None:
        self._overloaded = False

    def __bool__(self) -> bool:
        return self._overloaded

    def update(self, alert: Alert) -> bool:
        """Take the next alert of the topic; return whether an overload began or ended with it."""
        was = self._overloaded
        if alert.source == SOURCE and alert.kind in {AlertKind.REVIEW_OVERLOAD, AlertKind.RECOVERED}:
            self._overloaded = alert.kind == AlertKind.REVIEW_OVERLOAD
        return was != self._overloaded
