"""hedgerow calibrate: from recorded answers to a policy whose accepted error is bounded."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from streams.cli.options import AsJson
from streams.cli.policy_figures import show_labels, show_slices
from streams.cli.tables import Column, show_table
from streams.errors import SettingsError

_HEADER = (
    "# Written by hedgerow calibrate. The bound under fitted.promise was tested with these very thresholds and maps: "
    "with others it is not promised.\n"
)
_DEFAULT_ERROR = 0.05


def calibrate(
    records: Annotated[Path, typer.Argument(help="Record file that hedgerow evaluate wrote, with gold labels")],
    out: Annotated[Path, typer.Option(help="Policy file to write")],
    max_error: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Maximum share of wrong labels among those accepted (default: 0.05)"),
    ] = None,
    min_accuracy: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Minimum share of right labels among those accepted; the stricter of the two bounds counts",
        ),
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.9999, help="Confidence level at which the bound holds")] = 0.95,
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Minimum share of the big model's accuracy to keep, on the same tickets")
    ] = 0.99,
    min_saving: Annotated[
        float,
        typer.Option(min=-1, max=1, help="Saving in model calls to reach, if possible, before reviewers' work counts"),
    ] = 0.7,
    max_review: Annotated[
        float, typer.Option(min=0, max=1, help="Maximum share of tickets that reviewers can take")
    ] = 0.3,
    review_usd: Annotated[float, typer.Option(min=0, help="Cost of one reviewer's decision, USD")] = 0.1,
    base: Annotated[
        Path | None, typer.Option(help="Policy file whose basis, covered mass, audit share and limits are kept")
    ] = None,
    pictures: Annotated[Path | None, typer.Option(help="Folder to write three SVG pictures to")] = None,
    seed: Annotated[int, typer.Option(help="Random seed for the split of the records")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fit calibration maps, try all thresholds, and write the cheapest policy that keeps the bound; exit 1 if none does."""
    from streams.core.calibration.calibration_report import calibrated
    from streams.core.calibration.charts import pictures as draw
    from streams.core.calibration.selection import NoPolicy
    from streams.core.policy.fitted import Promise
    from streams.evaluation import read_records
    from streams.settings import load_policy

    promise = Promise(
        max_error=_bound(max_error, min_accuracy),
        level=level,
        keep=keep,
        min_saving=min_saving,
        max_review=max_review,
        review_usd=review_usd,
    )
    rows = read_records(records)
    try:
        today = datetime.datetime.now(datetime.UTC).date()
        policy, found = calibrated(rows, promise, today, base=load_policy(base) if base else None, seed=seed)
    except NoPolicy as error:
        if as_json:
            print(orjson.dumps({"policy_id": None, "reason": str(error)}).decode())
        print(f"hedgerow: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    drawn = {} if pictures is None else draw(found)
    _write(out, _HEADER + _yaml(policy.model_dump(mode="json")))
    for name, text in drawn.items():
        _write((pictures or Path()) / name, text)
    if as_json:
        print(orjson.dumps({"policy_id": policy.id, "records": len(rows), **found}).decode())
    else:
        _show(Console(), found)
        print(f"policy {policy.id} written to {out}")
        print(
            f"next: see what it does with other records (hedgerow whatif RECORDS --policy {out}), then name the file in "
            f"the settings, relative to them (policy: {out.name}), and start the workers again"
        )


def _bound(max_error: float | None, min_accuracy: float | None) -> float:
    given = [bound for bound in (max_error, None if min_accuracy is None else 1 - min_accuracy) if bound is not None]
    return min(given, default=_DEFAULT_ERROR)


def _yaml(values: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"file {path} cannot be written: {error.strerror}") from None


def _show(console: Console, found: dict[str, Any]) -> None:
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
    made, promise = found["figures"], found["promise"]
    print()
    show_slices(made, "the policy, tested half", console)
    print()
    show_labels(made, console)
    print()
    shares = [f"{row['saving']:.1%} at {row['review_rate']:.0%}" for row in found["frontier"]]
    print(f"saving by review share: {', '.join(shares)}")
    if made["saving"] is not None and made["saving"] < promise["min_saving"]:
        print(f"the saving of {promise['min_saving']:.0%} is out of reach with the rest of the promise kept")
    print()
    _show_thresholds(console, found)
    print()
    print(
        f"accepted error {made['accepted_error'] or 0.0:.2%}, under {made['accepted_error_bound']:.2%} with "
        f"{promise['level']:.0%} confidence (promised: {promise['max_error']:.2%})"
    )


def _show_thresholds(console: Console, found: dict[str, Any]) -> None:
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
