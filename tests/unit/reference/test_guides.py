"""What the guides show can be typed in: commands, options, settings, files."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from reference import cli
from streams.settings import Settings, check_settings

ROOT = Path(__file__).parents[3]
GUIDES = [ROOT / "docs" / "quickstart.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]
COMMANDS = {name: command for name, command in cli.commands() if not hasattr(command, "commands")}


def fences(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def shown() -> list[str]:
    lines = [line for path in GUIDES for fence in fences(path, "sh") for line in fence.splitlines()]
    return [line.removeprefix(".venv/bin/") for line in lines if "hedgerow " in line]


@pytest.mark.parametrize("line", shown())
def test_a_command_that_is_shown_exists_with_its_options(line: str) -> None:
    words = shlex.split(line)
    [name] = [name for name in COMMANDS if words[: len(name.split())] == name.split()]
    spellings = {spelling for parameter in COMMANDS[name].params for spelling in cli.spellings(parameter)}
    assert {word for word in words if word.startswith("-")} <= spellings


def test_the_settings_of_the_quick_start_are_accepted() -> None:
    [text] = fences(ROOT / "docs" / "quickstart.md", "yaml")
    assert check_settings(yaml.safe_load(text), "quickstart.md").label_set


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_settings_that_are_shown_are_sections_of_the_settings(path: Path) -> None:
    for text in fences(path, "yaml"):
        assert yaml.safe_load(text).keys() <= Settings.model_fields.keys()


@pytest.mark.parametrize(
    "path", [*GUIDES, ROOT / "docs" / "index.md", ROOT / "docs" / "concepts.md"], ids=lambda path: path.stem
)
def test_files_that_are_named_are_there(path: Path) -> None:
    named = re.findall(r"`((?:deploy|docs|examples)/[\w./-]+)`", path.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []
