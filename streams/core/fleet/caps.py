"""Limits on what is used within an hour, a day and a month, and what counts toward them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from schemas.fleet import Usage

Period = Literal["hour", "day", "month"]
PERIODS: tuple[Period, ...] = ("hour", "day", "month")

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
#: A lease may be used for this long after it was said.
LEASE_MS = 60_000
DAY_MS = 24 * HOUR_MS
#: The hour counts by whole minutes, and drops a minute only when all of it is over an hour old.
_MINUTES = 60


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that may be used within any hour, on a day and in a month (UTC), in whole units; None is no limit."""

    hour: int | None = None
    day: int | None = None
    month: int | None = None

    def __iter__(self) -> Iterator[tuple[Period, int]]:
        """Yield the limits that there are."""
        for period in PERIODS:
            most: int | None = getattr(self, period)
            if most is not None:
                yield period, most

    def __bool__(self) -> bool:
        """Return whether there is any limit."""
        return any(True for _ in self)


def first_minute(now_ms: int) -> int:
    """Return the oldest minute of the hour before ``now_ms`` (Unix time)."""
    return now_ms // MINUTE_MS - _MINUTES


def first_of(period: Period, now_ms: int) -> int:
    """Return the oldest minute (hour), or the first day (day, month), that counts at ``now_ms`` (Unix time), since 1970."""
    if period == "hour":
        return first_minute(now_ms)
    today = now_ms // DAY_MS
    return today if period == "day" else today - datetime.fromtimestamp(now_ms / 1000, UTC).day + 1


def used(usage: Usage, period: Period, now_ms: int, leased_at_ms: int) -> int:
    """Return what counts toward a limit at ``now_ms`` (Unix time): what was used, and what is leased."""
    return _sum(usage, period, now_ms) + leased(usage, period, now_ms, leased_at_ms)


def leased(usage: Usage, period: Period, now_ms: int, leased_at_ms: int) -> int:
    """Return what counts toward a limit at ``now_ms`` (Unix time) though it is not known to have been used.

    A lease that was said at ``leased_at_ms`` counts as if all of it was used at the last moment that it may be, since nobody
    else can know how much was.
    """
    begun_ms = first_of(period, now_ms) * (MINUTE_MS if period == "hour" else DAY_MS)
    return (usage.leased + usage.asked) if leased_at_ms >= begun_ms - LEASE_MS else 0


def _sum(usage: Usage, period: Period, now_ms: int) -> int:
    first, amounts = first_of(period, now_ms), usage.minutes if period == "hour" else usage.days
    return sum(amount.used for amount in amounts if amount.at >= first)


#: What others have used of a period's limit, leases included.
OthersUsed = Callable[[Period], int]
