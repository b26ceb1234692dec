"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.sandbox.model_kinds import ModelKind

Config = Annotated[Path, typer.Option("--config", "-c", help="Settings file")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]
Models = Annotated[
    ModelKind,
    typer.Option(help="Cheap model: a trained classifier, or a real language model: llm is Gemma 3 270M (extra 'llm')"),
]
DEFAULT_CONFIG = Path("hedgerow.yaml")
