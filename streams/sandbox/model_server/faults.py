"""Everything that can be wrong with a model API, one switch each, as rates of calls.

The switches stand in the order in which they strike: a call that is refused or never answered has no body to spoil, and
a spoilt body hides which weights it came from. So each rate is the share of the calls that no earlier fault has taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, Self

from streams.errors import SettingsError


class FaultName(StrEnum):
    """The faults, in the order in which they strike."""

    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    HANG = "hang"
    CUT = "cut"
    GARBAGE = "garbage"
    LOGPROBS_NULL = "logprobs_null"
    LOGPROBS_ABSENT = "logprobs_absent"
    LOGPROBS_EMPTY = "logprobs_empty"
    TOP_LOGPROBS_EMPTY = "top_logprobs_empty"
    TRUNCATED_K = "truncated_k"
    POSITIVE_LOGPROB = "positive_logprob"
    NAN_LOGPROB = "nan_logprob"
    WRONG_MODEL = "wrong_model"
    SLOW = "slow"
    DRIFT = "drift"


_AMOUNTS = {
    FaultName.RATE_LIMIT: 0.2,
    FaultName.TRUNCATED_K: 2.0,
    FaultName.POSITIVE_LOGPROB: 0.7,
    FaultName.SLOW: 1500.0,
    FaultName.DRIFT: 0.02,
}
"""The faults that have an amount, with its default: seconds to wait, alternatives left, nats, milliseconds, noise."""


class Chance(Protocol):
    """The one thing asked of a random generator: a uniform number in [0, 1)."""

    def random(self) -> float:
        """Draw the number."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that strikes one call; ``amount`` is 0 for faults that have none."""

    name: FaultName
    amount: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultSwitch:
    """One switch: a fault, the rate of calls that it takes, and the model alias that it is limited to (None: all)."""

    fault: Fault
    rate: float
    model: str | None = None

    @classmethod
    def parse(cls, text: str, models: Iterable[str]) -> Self:
        """Read ``[MODEL:]NAME=RATE[@AMOUNT]``, for instance ``cheap:logprobs_null=0.3`` or ``slow=0.1@800``.

        A model is named by its alias in ``models`` or by the part after its last ``-``. Raises SettingsError.
        """
        head, equals, tail = text.strip().partition("=")
        scope, colon, name = head.rpartition(":")
        rate_text, at, amount_text = tail.partition("@")
        if name not in list(FaultName):
            raise SettingsError(f"unknown fault {name!r} in {text!r}: choose from {', '.join(FaultName)}")
        if not equals:
            raise SettingsError(f"fault {text!r} has no rate: write {head}=0.1 for every tenth call")
        fault = FaultName(name)
        rate = _number(rate_text, text)
        if not 0.0 <= rate <= 1.0:
            raise SettingsError(f"the rate in fault {text!r} must lie between 0 and 1")
        if at and fault not in _AMOUNTS:
            raise SettingsError(f"fault {name} takes no amount, but {text!r} gives one; leave out @{amount_text}")
        amount = _number(amount_text, text) if at else _AMOUNTS.get(fault, 0.0)
        if amount < 0.0:
            raise SettingsError(f"the amount in fault {text!r} must not be negative")
        return cls(Fault(fault, amount), rate, _alias(scope, models, text) if colon else None)

    def __str__(self) -> str:
        scope = f"{self.model}:" if self.model else ""
        amount = f"@{self.fault.amount:g}" if self.fault.name in _AMOUNTS else ""
        return f"{scope}{self.fault.name}={self.rate:g}{amount}"


@dataclass(frozen=True, slots=True)
class Faults:
    """All switches that are on, in the order in which they strike."""

    switches: tuple[FaultSwitch, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str], models: Iterable[str]) -> Self:
        """Read one switch from each text (see `FaultSwitch.parse`). Raises SettingsError."""
        aliases = tuple(models)
        order = list(FaultName)
        switches = [FaultSwitch.parse(text, aliases) for text in texts]
        return cls(tuple(sorted(switches, key=lambda switch: order.index(switch.fault.name))))

    def draw(self, chance: Chance, model: str) -> Fault | None:
        """Return the fault that strikes this call to ``model`` (its alias), or None."""
        for switch in self.switches:
            if switch.model in (None, model) and chance.random() < switch.rate:
                return switch.fault
        return None


def _number(text: str, whole: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SettingsError(f"{text!r} in fault {whole!r} is not a number")
    return number


def _alias(scope: str, models: Iterable[str], whole: str) -> str:
    for model in models:
        if scope in (model, model.rpartition("-")[2]):
            return model
    raise SettingsError(f"fault {whole!r} names the model {scope!r}, which is not one of {', '.join(models)}")
