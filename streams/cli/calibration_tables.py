"""What a calibration found, as tables for a terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from streams.cli.policy_figures import show_labels, show_slices
from streams.cli.tables import Column, show_table
from streams.cli.terminal import hanging
from streams.core.wording import counted


def show_calibration(found: dict[str, Any], console: Console) -> None:
    """Print a calibration's report: both tiers' confidence, the policy's figures, its thresholds and its bound."""
    _show_tiers(found, console)
    made, promise = found["figures"], found["promise"]
    print()
    show_slices(made, "the policy, tested half", console)
    print()
    show_labels(made, console)
    print()
    _show_trade(found, console)
    if made["saving"] is not None and made["saving"] < promise["min_saving"]:
        text = f"the saving of {promise['min_saving']:.0%} is out of reach with the rest of the promise kept"
        print(hanging("", text, console))
    if made["review_rate"] > promise["max_review"]:
        text = (
            f"in review on the tested half: {made['review_rate']:.1%}, more than the {promise['max_review']:.0%} that "
            "the thresholds were chosen for; with more records the two come closer"
        )
        print(hanging("", text, console))
    print()
    _show_thresholds(found, console)
    print()
    text = (
        f"accepted error {made['accepted_error'] or 0.0:.2%}, under {made['accepted_error_bound']:.2%} with "
        f"{promise['level']:.0%} confidence (promised: {promise['max_error']:.2%})"
    )
    print(hanging("", text, console))


def show_tier_zero(found: dict[str, Any], console: Console) -> None:
    """Print when labelled tickets answer alone, and how that is bounded."""
    rule = found["tier_zero"]
    if rule is None:
        text = "the memory answers nothing alone: these records bound no rule's error"
    else:
        explored, tested, votes = rule["explored"], rule["tested"], counted(rule["min_votes"], "labelled ticket")
        text = (
            f"{votes} or more with a similarity of {rule['min_similarity']} or more that agree answer alone: error under "
            f"{explored['bound']:.2%} with {found['promise']['level']:.0%} confidence; on the tested half "
            f"{counted(tested['answered'], 'ticket')}, {tested['wrong']} wrong"
        )
    print(hanging("tier zero: ", text, console))


def _show_tiers(found: dict[str, Any], console: Console) -> None:
    names = ("AUROC", "ECE", "after", "honest", "Brier", "after")
    rows = []
    for tier, one in found["tiers"].items():
        before, after = one["before"], one["after"]
        numbers = [
            before["auroc"],
            before["ece"],
            after["ece"],
            after["ece_of_an_honest_model"],
            before["brier"],
            after["brier"],
        ]
        rows.append((tier, one["map"]["kind"], *(None if x is None else f"{x:.4f}" for x in numbers)))
    columns = [Column("tier"), Column("map"), *(Column(name, right=True) for name in names)]
    title = "confidence on the tested half, before and after calibration"
    show_table(columns, rows, title=title, console=console)
    for tier, one in found["tiers"].items():
        if one["gain"] is not None:
            loss, used = one["cross_validated"]["log_loss"], one["map"]["kind"] == "logistic"
            text = (
                f"with entropy, novelty and the neighbours' votes the log loss changes by {-one['gain']:+.4f} to "
                f"{loss['logistic']:.4f} nats (cross-validated); {'used' if used else 'not used'}"
            )
            print(hanging(f"{tier}: ", text, console))


def _show_trade(found: dict[str, Any], console: Console) -> None:
    """Print what more review would save, with the chosen policy and the knee marked."""
    rows = []
    for row in found["trade"]:
        marks = ("chosen" if row["chosen"] else "", "beyond this, review saves little" if row["knee"] else "")
        gain = row["saving_per_review"]
        figures = (f"{row['review_rate']:.1%}", f"{row['saving']:.1%}", None if gain is None else f"{gain:.1f} points")
        rows.append((*figures, "; ".join(filter(None, marks))))
    heads = (Column("in review", right=True), Column("saving", right=True), Column("each point saves", right=True))
    show_table([*heads, Column("", "wrap")], rows, title="what more review would save (explored half)", console=console)


def _show_thresholds(found: dict[str, Any], console: Console) -> None:
    names = ("asked", "min confidence", "max nats")
    columns = [Column("tier"), *(Column(name, right=True) for name in names), Column("what is not accepted", "wrap")]
    tiers: list[tuple[str, ...]] = []
    for tier, rule in found["thresholds"].items():
        limits = (f"{found['asked'][tier]:.1%}", f"{rule['min_confidence']:.4f}", f"{rule['max_entropy']:.4f}")
        tiers.append((tier, *limits, _otherwise(tier, rule)))
    show_table(columns, tiers, title="thresholds", console=console)


def _otherwise(tier: str, rule: dict[str, Any]) -> str:
    """Say what becomes of the other answers, and which further limits there are."""
    if tier == "big":
        return f"goes to review; if the tiers disagree, from {rule['disagreement_entropy']:.4f} nats on"
    said = "goes to the big model"
    if rule["abstain_entropy"] is not None:
        said += f", from {rule['abstain_entropy']:.4f} nats on to review"
    if rule["max_chars"] is not None:
        said += f"; a text over {rule['max_chars']} characters goes there at once"
    return said
