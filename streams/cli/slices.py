"""The table of a policy's figures, a column for all tickets and one for each slice."""

from __future__ import annotations

from typing import Any

from rich.table import Table

_ROWS = {
    "tickets": "tickets",
    "accuracy_cheap_alone": "cheap model alone right",
    "accuracy_big_alone": "big model alone right",
    "routed": "routed without a person",
    "accuracy": "right among them",
    "accuracy_all_cheap": "cheap model right on the same",
    "accuracy_all_big": "big model right on the same",
    "accepted_error": "accepted error",
    "accepted_unlabelled": "routed without a gold label",
    "ece": "ECE of what is routed",
    "escalation_rate": "big model asked",
    "review_rate": "in review",
    "cost_usd": "cost, USD",
    "cost_all_big_usd": "cost of all-big, USD",
    "saving": "saving",
    "cost_per_correct": "cost per right label, USD",
}
_RATIOS = {"ece"}


def slice_table(figures: dict[str, Any], title: str) -> Table:
    """Return a table of `whatif`'s figures: percentages, but for counts, money and the calibration error."""
    columns = {"all": figures, **figures["slices"]}
    table = Table("", title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right")
    for key, text in _ROWS.items():
        table.add_row(text, *(_text(key, part[key]) for part in columns.values()))
    return table


def _text(key: str, value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    if "cost" in key:
        return f"{value:.6f}" if key == "cost_per_correct" else f"{value:.4f}"
    return f"{value:.4f}" if key in _RATIOS else f"{value:.2%}"
