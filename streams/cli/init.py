"""hedgerow init: writes the files of a pipeline to start from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from streams.cli.starter import KNOWN_LABELS, PROVIDERS, ProviderName, placeholder, starter_files
from streams.cli.terminal import hanging
from streams.errors import SettingsError


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write to; created if missing")] = Path(),
    provider: Annotated[ProviderName, typer.Option(help="Provider of the two models")] = "sandbox",
    labels: Annotated[
        str | None, typer.Option(help="Labels that a ticket can have, comma-separated (default: asked at a terminal)")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there")] = False,
) -> None:
    """Write settings, contracts, endpoints and sample tickets to start from, each with comments."""
    described = _described(labels)
    files = starter_files(provider, described, aliases=_need_aliases(tuple(described)))
    try:
        _write(folder, files, force=force)
    except OSError as error:
        raise SettingsError(f"{error.filename or folder}: {error.strerror}") from None
    print(hanging("", f"wrote {', '.join(files)} in {folder.resolve()}", Console()))
    print("next:" + "".join(f"\n  {step}" for step in _next(provider, folder)))


def _described(given: str | None) -> dict[str, str]:
    """Return label to description: placeholders for those given by the option, the user's own from a terminal."""
    if given is not None:
        return {label: placeholder(label) for label in _names(given)}
    if not sys.stdin.isatty():
        raise SettingsError("which labels can a ticket get? Name them: hedgerow init --labels refund,shipping,other")
    names = _names(typer.prompt("Labels, comma separated", default=",".join(KNOWN_LABELS)))
    print("What belongs under each, in one sentence? It goes into the prompt.")
    return {label: typer.prompt(f"  {label}", default=placeholder(label)) for label in names}


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise SettingsError(f"label {repeated!r} is given twice")
    return names


def _need_aliases(labels: tuple[str, ...]) -> bool:
    """Return whether these labels can only be told apart as letters; raises SettingsError if not even then."""
    from streams.core.signal.labels import LabelSet

    try:
        LabelSet(labels)
    except SettingsError:
        try:
            LabelSet.aliased(labels)
        except SettingsError:
            return bool(LabelSet(labels))  # says what is wrong with the labels themselves
        return True
    return False


def _write(folder: Path, files: dict[str, str], *, force: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    there = [name for name in files if (folder / name).exists()]
    if there and not force:
        raise SettingsError(f"{folder.resolve()} already holds {', '.join(there)}: --force overwrites them")
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


def _next(provider: ProviderName, folder: Path) -> list[str]:
    steps = [] if folder.resolve() == Path.cwd() else [f"cd {folder}"]
    key = PROVIDERS[provider].key
    if provider == "sandbox":
        steps.append("hedgerow sandbox up &")
    elif key is None:
        steps.append("start the models, as the comments in hedgerow.yaml show")
    else:
        steps += [
            f"cp .env.example .env         # and write your {key} into .env",
            "set -a; . ./.env; set +a      # loads it",
        ]
    if provider != "sandbox":
        steps.append("hedgerow sandbox broker &     # or name your Kafka in hedgerow.yaml")
    steps += ["hedgerow topics create --wait 60", "hedgerow doctor", "hedgerow worker &"]
    return [*steps, "hedgerow produce tickets.jsonl", "hedgerow consume routed --wait 20", "hedgerow review list"]
