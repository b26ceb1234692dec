"""hedgerow score: the decision on recorded responses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.errors import SettingsError

if TYPE_CHECKING:
    from schemas import Scored, Unscorable


def score(
    labels: Annotated[str, typer.Option(help="Labels, comma-separated; a label with a comma in double quotes")],
    file: Annotated[Path, typer.Argument(help="JSONL file of responses {id, response}; - for standard input")] = Path(
        "-"
    ),
    policy: Annotated[Path | None, typer.Option(help="Policy file (default: the default policy)")] = None,
) -> None:
    """Read model responses and print, for each, how sure the model was and what the cheap tier's rule decides."""
    from streams.core.policy.fitted import refuse_other_labels
    from streams.core.policy.policy import Policy, decide_cheap
    from streams.core.signal.labels import LabelSet
    from streams.core.signal.score import Reading
    from streams.core.signal.score_lines import score_rows
    from streams.files import file_lines
    from streams.settings import load_policy

    used = load_policy(policy) if policy else Policy()
    known = LabelSet(_names(labels))
    if used.fitted is not None:
        refuse_other_labels(used.fitted, known.labels)

    def decide(signal: Scored | Unscorable, ticket_id: str, model: str | None) -> tuple[str, tuple[str, ...]]:
        reading = Reading(signal, text=None, model=model, fingerprint=None, prompt_tokens=None, completion_tokens=None)
        decision = decide_cheap(used, ticket_id, reading)
        return decision.action, decision.reasons

    for row in score_rows(file_lines(file, "responses"), known, decide):
        print(json.dumps(row, allow_nan=False))


def _names(labels: str) -> list[str]:
    try:
        return [name.strip() for row in csv.reader([labels], skipinitialspace=True, strict=True) for name in row]
    except csv.Error:
        raise SettingsError(
            f"--labels {labels!r}: commas between the labels, double quotes around one with a comma"
        ) from None
