"""hedgerow calibrate: from recorded answers to a policy whose accepted error is bounded."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console

from streams.cli.calibration_tables import show_calibration, show_tier_zero
from streams.cli.options import AsJson
from streams.cli.terminal import hanging
from streams.errors import SettingsError

_HEADER = (
    "# Written by hedgerow calibrate. The bound under fitted.promise was tested with these very thresholds and maps: "
    "with others it is not promised.\n"
)
_DEFAULT_ERROR = 0.05

Records = Annotated[
    Path,
    typer.Argument(
        help="Record file that hedgerow evaluate wrote, with gold labels; a row without one is out of scope"
    ),
]
Out = Annotated[Path, typer.Option(help="Policy file to write")]
MaxError = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Maximum share of errors among the tickets accepted, those out of scope included (default: 0.05)",
    ),
]
MinAccuracy = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        help="Minimum share of right labels among the tickets accepted; the stricter of the two bounds counts",
    ),
]
Level = Annotated[float, typer.Option(min=0.5, max=0.9999, help="Confidence level at which the bound holds")]
Keep = Annotated[
    float, typer.Option(min=0, max=1, help="Minimum share of the big model's accuracy to keep, on the same tickets")
]
MinSaving = Annotated[
    float,
    typer.Option(min=-1, max=1, help="Saving in model calls to reach, if possible, before reviewers' work counts"),
]
MaxReview = Annotated[float, typer.Option(min=0, max=1, help="Maximum share of tickets that reviewers can take")]
MaxOutOfScope = Annotated[
    float, typer.Option(min=0, max=1, help="Maximum share of the tickets out of scope to route, if it can be kept")
]
OutOfScopeShare = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=0.99,
        help="Share of your tickets that are out of scope (default: that of the records without a label)",
    ),
]
ReviewUsd = Annotated[float, typer.Option(min=0, help="Cost of one reviewer's decision, USD")]
Base = Annotated[
    Path | None, typer.Option(help="Policy file whose basis, covered mass, audit share and limits are kept")
]
Pictures = Annotated[Path | None, typer.Option(help="Folder to write three pictures to (needs the extra 'pictures')")]
PictureFormat = Annotated[Literal["svg", "png"], typer.Option(help="Format of the pictures")]
TierZero = Annotated[
    bool,
    typer.Option(
        "--tier-zero",
        help="Let labelled tickets that are nearly the same answer without a call, if their error can be bounded",
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed for the split of the records")]


def calibrate(
    records: Records,
    out: Out,
    max_error: MaxError = None,
    min_accuracy: MinAccuracy = None,
    level: Level = 0.95,
    keep: Keep = 0.99,
    min_saving: MinSaving = 0.7,
    max_review: MaxReview = 0.3,
    max_out_of_scope: MaxOutOfScope = 0.2,
    out_of_scope_share: OutOfScopeShare = None,
    review_usd: ReviewUsd = 0.1,
    tier_zero: TierZero = False,
    base: Base = None,
    pictures: Pictures = None,
    picture_format: PictureFormat = "svg",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Fit calibration maps, try all thresholds, and write the cheapest policy that keeps the bound; exit 1 if none does."""
    from streams.core.calibration.calibration_report import calibrated
    from streams.core.calibration.selection import NoPolicy
    from streams.core.policy.fitted import Promise
    from streams.evaluation import read_records
    from streams.pictures.calibration_pictures import draw_calibration
    from streams.pictures.canvas import require_pictures
    from streams.settings import load_policy

    if pictures is not None:
        require_pictures()
    promise = Promise(
        max_error=_bound(max_error, min_accuracy),
        level=level,
        keep=keep,
        min_saving=min_saving,
        max_review=max_review,
        review_usd=review_usd,
        max_out_of_scope=max_out_of_scope,
        out_of_scope_share=out_of_scope_share,
    )
    rows = read_records(records)
    try:
        today = datetime.datetime.now(datetime.UTC).date()
        start = load_policy(base) if base else None
        policy, found = calibrated(rows, promise, today, base=start, seed=seed, tier_zero=tier_zero)
    except NoPolicy as error:
        if as_json:
            print(orjson.dumps({"policy_id": None, "reason": str(error)}).decode())
        print(f"hedgerow: {error}", file=sys.stderr)
        raise typer.Exit(1) from None
    _write(out, _HEADER + _yaml(policy.model_dump(mode="json")))
    if pictures is not None:
        draw_calibration(found, pictures, picture_format)
    if as_json:
        print(orjson.dumps({"policy_id": policy.id, "records": len(rows), **found}).decode())
    else:
        console = Console()
        show_calibration(found, console)
        if tier_zero:
            show_tier_zero(found, console)
        print(f"policy {policy.id} written to {out}")
        steps = (
            f"see what it does with other records: hedgerow whatif RECORDS --policy {out}",
            f"name the file in the settings, relative to them: policy: {out.name}",
            "start the workers again",
        )
        print("next:")
        for step in steps:
            print(hanging("  ", step, console))


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
