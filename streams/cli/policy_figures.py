"""The tables of a policy's figures: all tickets and each slice, each label, and which labels are mixed up."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from streams.cli.tables import Column, show_table

_ROWS = {
    "tickets": "tickets",
    "accuracy_cheap_alone": "cheap model alone right",
    "accuracy_big_alone": "big model alone right",
    "routed": "routed without a reviewer",
    "accuracy": "right among them",
    "accuracy_all_cheap": "cheap model right on the same",
    "accuracy_all_big": "big model right on the same",
    "accepted_error": "accepted error",
    "accepted_error_in_scope": "accepted error in scope",
    "out_of_scope_share": "out of scope",
    "out_of_scope_routed": "of these routed",
    "ece": "ECE of what is routed",
    "escalation_rate": "big model asked",
    "review_rate": "in review",
    "cost_usd": "cost, USD",
    "cost_all_big_usd": "cost of all-big, USD",
    "saving": "saving",
    "cost_per_correct": "cost per right label, USD",
    "out_of_scope_auroc": "AUROC of in against out of scope",
}
_RATIOS = {"ece", "out_of_scope_auroc"}
_LABELS = {
    "support": "tickets",
    "precision": "precision",
    "recall": "recall",
    "escalation_rate": "escalated",
    "review_rate": "in review",
}
#: How many confusions are printed; --json has the whole matrix.
_CONFUSIONS = 10


def show_slices(figures: dict[str, Any], title: str, console: Console) -> None:
    """Print `whatif`'s figures: percentages, but for counts, money and the calibration error."""
    parts = {"all": figures, **figures["slices"]}
    columns = [Column("", "wrap"), *(Column(name, right=True) for name in parts)]
    rows = [[text, *(_text(key, part[key]) for part in parts.values())] for key, text in _ROWS.items()]
    show_table(columns, rows, title=title, console=console)


def show_labels(figures: dict[str, Any], console: Console) -> None:
    """Print `whatif`'s figures of each label, and the most frequent confusions of the tickets that are routed."""
    from streams.core.calibration.label_figures import top_confusions

    columns = [Column("label"), *(Column(name, right=True) for name in _LABELS.values())]
    rows = [[name, *(_text(key, one[key]) for key in _LABELS)] for name, one in figures["labels"].items()]
    if not rows:
        print("no ticket has a gold label: there are no figures by label")
        return
    show_table(columns, rows, title="by label (precision and recall of what is routed)", console=console)
    wrong = top_confusions(figures["confusion"], _CONFUSIONS)
    print()
    if not wrong:
        print("no ticket with a gold label is routed as another one")
        return
    cells = [(gold, name, str(count)) for gold, name, count in wrong]
    confused = (Column("gold label"), Column("routed as"), Column("tickets", right=True))
    show_table(confused, cells, title="most frequent errors", console=console)


def _text(key: str, value: float | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, int):
        return str(value)
    if "cost" in key:
        return f"{value:.6f}" if key == "cost_per_correct" else f"{value:.4f}"
    return f"{value:.4f}" if key in _RATIOS else f"{value:.2%}"
