"""What all workers of a pipeline may use together, how much of it each may use by itself, and what their guards have seen."""

from __future__ import annotations

from streams.core.fleet.account import Account
from streams.core.fleet.caps import Caps, Period
from streams.core.fleet.fleet import Fleet, Thing
from streams.core.fleet.member import KEPT_S, Member

__all__ = ["KEPT_S", "Account", "Caps", "Fleet", "Member", "Period", "Thing"]
