"""The price list: ``prices.toml`` next to this file, or one of your own."""

from __future__ import annotations

import fnmatch
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from streams.errors import SettingsError
from streams.files import text_of


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, in and out."""

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what a call with these token counts costs, USD."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6


_BUNDLED = Path(__file__).parent / "prices.toml"


@cache
def price_list(path: Path = _BUNDLED) -> tuple[tuple[str, Price], ...]:
    """Return (model pattern, price) in the file's order; raises SettingsError for a file that is no price list."""
    try:
        rows = tomllib.loads(text_of(path.read_bytes(), f"price list {path}"))["price"]
        return tuple((pattern, _price(row)) for row in rows for pattern in row["models"])
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(f"price list {path}: {type(error).__name__}: {error}") from error


def _price(row: Mapping[str, Any]) -> Price:
    price = Price(float(row["input"]), float(row["output"]))
    if not all(math.isfinite(usd) and usd >= 0 for usd in (price.input, price.output)):
        raise ValueError(f"{row['models']}: a price is at least 0")
    return price


def price_of(model: str, path: Path = _BUNDLED) -> Price | None:
    """Return the price of a model; None if the list has none."""
    for pattern, price in price_list(path):
        if fnmatch.fnmatchcase(model, pattern):
            return price
    return None


def cost_of(price: Price | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Return what a call with these token counts costs, USD; None without a price, because an unknown cost is not zero."""
    return None if price is None else price.cost(prompt_tokens, completion_tokens)
