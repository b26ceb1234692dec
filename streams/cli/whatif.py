"""hedgerow whatif: what a policy would have done with recorded answers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from streams.cli.options import AsJson
from streams.cli.policy_figures import show_labels, show_slices


def whatif(
    records: Annotated[Path, typer.Argument(help="Record file that hedgerow evaluate wrote")],
    policy: Annotated[Path, typer.Option(help="Policy file to replay")],
    out_of_scope_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of tickets out of scope to count the error at (default: the records')"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replay recorded answers under a policy, as the workers would decide; nothing is asked or paid."""
    from streams.core.calibration.figures import whatif as figures_of
    from streams.core.calibration.records import refuse_other_records
    from streams.evaluation import read_records
    from streams.settings import load_policy

    replayed, rows = load_policy(policy), read_records(records)
    refuse_other_records(replayed.fitted, rows)
    figures = figures_of(replayed, rows, out_of_scope_share)
    if as_json:
        print(orjson.dumps({"policy_id": replayed.id, **figures}).decode())
    else:
        console = Console()
        show_slices(figures, f"{records.name} under the policy {replayed.id}", console)
        print()
        show_labels(figures, console)
