"""The price list: what it knows, and that an unknown price is neither zero nor another model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.errors import SettingsError
from streams.models.prices import Price, cost_of, price_list, price_of

ONE = '[[price]]\nmodels = ["a*"]\ninput = {}\noutput = 2\n'


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("gpt-4o-mini", Price(0.15, 0.60)),
        ("gpt-4o-mini-2024-07-18", Price(0.15, 0.60)),
        ("gpt-4o", Price(2.50, 10.0)),
        ("gpt-4o-2024-08-06", Price(2.50, 10.0)),
        ("gpt-4.1-mini", Price(0.40, 1.60)),
        ("gpt-4.1", Price(2.0, 8.0)),
        ("gpt-5.4-nano", Price(0.20, 1.25)),
        ("gpt-5.4", Price(2.50, 15.0)),
        ("deepseek-v4-flash", Price(0.30, 1.20)),
        ("deepseek-v4-pro", Price(1.32, 3.96)),
        ("sandbox-cheap", Price(0.15, 0.60)),
        ("sandbox-big-2026-08-01", Price(2.50, 10.0)),
    ],
)
def test_public_prices(model: str, price: Price) -> None:
    assert price_of(model) == price


@pytest.mark.parametrize(
    "model", ["", "llama", "GPT-4o", "gpt-4.1-nano", "gpt-5.4-pro", "gpt-4o-realtime-preview", "gpt-4o-audio-preview"]
)
def test_a_model_that_is_not_listed_has_no_price_even_if_it_begins_like_one(model: str) -> None:
    assert price_of(model) is None
    assert cost_of(price_of(model), 100, 2) is None


def test_a_list_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(ONE.format(1) + '[[price]]\nmodels = ["ab", "*"]\ninput = 3\noutput = 4\n', encoding="utf-8")
    assert price_of("ab", path) == Price(1.0, 2.0)  # the first pattern counts
    assert price_of("x", path) == Price(3.0, 4.0)
    assert [pattern for pattern, _ in price_list(path)] == ["a*", "ab", "*"]


@pytest.mark.parametrize(
    "text",
    ["", "not toml", "price = 3", '[[price]]\nmodels = ["a"]', ONE.format("-1"), ONE.format("nan"), ONE.format("inf"),
     ONE.format('"much"'), "\x00"],
)  # fmt: skip
def test_what_is_no_price_list_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"mine\.toml"):
        price_of("a", path)


def test_a_file_that_is_away_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"away\.toml"):
        price_of("a", tmp_path / "away.toml")
