"""How patient the guards are: the ``guards`` section of the settings."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streams.core.fleet.caps import PERIODS, Caps
from streams.core.guards.budgets import units

#: A finding is made if chance alone would do the same less often than this.
SIGNIFICANT = 1e-6

OnLimit = Literal["hold", "review"]


class GuardLimits(BaseModel):
    """Sizes in calls or decisions of one worker process, times in seconds; money is that of all workers together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: Annotated[int, Field(ge=20, le=10_000)] = 100
    """Calls to an endpoint over which rates are taken; a broken contract is noticed within one window."""
    tolerated_share: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Share of calls that may break the contract, each in the same way, without an alert."""
    run: Annotated[int, Field(ge=5, le=1_000)] = 20
    """The fewest breaches in a row that count as a changed contract: that many calls are paid for nothing."""
    trial_every_s: Annotated[float, Field(gt=0, le=3600)] = 15.0
    """While the breaker is open, one call in this many seconds is let through."""
    trials_to_close: Annotated[int, Field(ge=1, le=100)] = 3
    """The number of trials in a row that must keep the contract before the breaker closes."""
    remind_s: Annotated[float, Field(gt=0, le=86_400)] = 3600.0
    """What still stands is said again after this time, and no sooner."""
    share_window: Annotated[int, Field(ge=50, le=10_000)] = 200
    """Decisions on cheap answers over which the share of escalations is compared with the history before them."""
    on_limit: OnLimit = "review"
    """At an open breaker or a budget that is used up, tickets go on as one without an answer, or wait until it is over."""
    max_usd_per_hour: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Once the models have cost this much within an hour no model is asked, and ``on_limit`` says what becomes of tickets."""
    max_usd_per_day: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """The same for a day (UTC)."""
    max_usd_per_month: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """The same for a calendar month (UTC)."""

    @property
    def max_usd(self) -> dict[str, float]:
        """The limits on money that there are, by their names."""
        named = {f"max_usd_per_{period}": getattr(self, f"max_usd_per_{period}") for period in PERIODS}
        return {name: most for name, most in named.items() if most is not None}

    @property
    def money(self) -> Caps:
        """The limits on money, in billionths of a dollar."""
        return Caps(**{name.removeprefix("max_usd_per_"): units(most) for name, most in self.max_usd.items()})

    @model_validator(mode="after")
    def _run_within_window(self) -> Self:
        if self.run > self.window:
            raise ValueError("run cannot be longer than window")
        return self
