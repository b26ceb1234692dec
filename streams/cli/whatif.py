"""hedgerow whatif: what a policy would have done with recorded answers."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.console import Console

from streams.cli.embedding_progress import embedding_progress, progress_bar
from streams.cli.options import AsJson
from streams.cli.policy_figures import show_labels, show_slices
from streams.cli.runtime import run
from streams.core.wording import counted
from streams.errors import SettingsError

if TYPE_CHECKING:
    from streams.core.calibration.records import Record
    from streams.core.policy.policy import Policy


def whatif(
    records: Annotated[Path, typer.Argument(help="Record file that hedgerow evaluate wrote")],
    policy: Annotated[Path, typer.Option(help="Policy file to replay")],
    out_of_scope_share: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Share of tickets out of scope to count the error at (default: the records')"),
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="File of labelled tickets to look the tickets up in again (default: what the records hold)"),
    ] = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Leave out what the records say of a memory; the answers stay")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Replay recorded answers under a policy, as the workers would decide; nothing is asked or paid."""
    from streams.core.calibration.figures import whatif as figures_of
    from streams.core.calibration.records import none_out_of_scope, refuse_other_records
    from streams.evaluation import read_records
    from streams.settings import load_policy

    if memory is not None and no_memory:
        raise SettingsError("--memory and --no-memory exclude each other")
    replayed, rows = load_policy(policy), read_records(records)
    if out_of_scope_share and all(row.gold is not None for row in rows):
        raise SettingsError(none_out_of_scope(out_of_scope_share))
    if memory is not None or no_memory:
        rows = run(_recalled_again(rows, memory))
    refuse_other_records(replayed.fitted, rows)
    _warn_of_smaller_memory(replayed, rows)
    figures = figures_of(replayed, rows, out_of_scope_share)
    if as_json:
        print(orjson.dumps({"policy_id": replayed.id, **figures}).decode())
    else:
        console = Console()
        show_slices(figures, f"{records.name} under the policy {replayed.id}", console)
        print()
        show_labels(figures, console)


def _warn_of_smaller_memory(policy: Policy, rows: Sequence[Record]) -> None:
    """Say if workers would not decide with this memory."""
    from streams.core.calibration.records import origin
    from streams.core.policy.fitted import examples_needed

    needed = examples_needed(policy.fitted)
    memory = origin(rows).memory if needed else None
    if memory is not None and memory.size < needed:
        print(
            f"the memory has {counted(memory.size, 'example')}: under this policy workers wait until it has {needed}",
            file=sys.stderr,
        )


async def _recalled_again(rows: Sequence[Record], path: Path | None) -> list[Record]:
    """Return the records with what the file of labelled tickets says of their tickets; without one, with nothing."""
    from streams.core.calibration.records import origin
    from streams.evaluation import recalled_again
    from streams.memory.open_memory import open_embedder, open_memory

    if path is None:
        return await recalled_again(rows, None)
    found = origin(rows)
    shown = 0 if found.memory is None else found.memory.examples
    with progress_bar() as bar:
        begin = embedding_progress(bar)
        async with open_embedder(None, threads=0) as embedder:
            memory = await open_memory(
                path,
                embedder,
                found.labels,
                (),
                shown,
                tickets_kept=True,
                begin=begin,
                tell=partial(print, file=sys.stderr),
            )
            return await recalled_again(rows, memory)
