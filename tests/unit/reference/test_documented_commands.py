"""Every command that a document names exists, with the options that it is shown with."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from reference import cli

ROOT = Path(__file__).parents[3]
#: The changelog also names what is gone; the guides have a test of their own.
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "topology.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "deploy").glob("*.md")]
)
COMMANDS = {tuple(name.split()[1:]): command for name, command in cli.commands()}
#: The longest first: a group's name begins those of its commands.
NAMES = sorted((list(name) for name in COMMANDS if name), key=len, reverse=True)
GROUPS = {" ".join(name) for name, command in COMMANDS.items() if hasattr(command, "commands")}
_SHOWN = re.compile(r"`hedgerow ([a-z][^`]*)`|^(?:\S*bin/)?hedgerow ([a-z][^#|\n]*)", re.MULTILINE)


def shown(document: Path) -> list[str]:
    """Return what follows each `hedgerow` that is written as code; `review list\\|show` is two commands."""
    lines = [(inline or typed).split() for inline, typed in _SHOWN.findall(document.read_text("utf-8"))]
    return [" ".join(each) for words in lines for each in product(*(word.split("\\|") for word in words))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_commands_that_are_named_exist_with_their_options(document: Path) -> None:
    for line in shown(document):
        words = line.split()
        command = next((COMMANDS[tuple(name)] for name in NAMES if words[: len(name)] == name), None)
        assert command is not None, line
        spellings = {spelling for parameter in command.params for spelling in cli.spellings(parameter)}
        assert {word.partition("=")[0].strip(",") for word in words if word.startswith("--")} <= spellings, line
        assert not hasattr(command, "commands") or line in GROUPS, line


def test_there_are_commands_to_look_at() -> None:
    assert sum(len(shown(document)) for document in DOCUMENTS) > 50
