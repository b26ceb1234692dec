"""What CONTRIBUTING and the glossary name is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


def test_contributing_names_every_make_target() -> None:
    [targets] = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"^\| `make (\w+)` \|", CONTRIBUTING, re.MULTILINE)) == set(targets.split())


def test_the_commands_that_contributing_shows_name_tests_that_are_there() -> None:
    named = re.findall(r"pytest (tests/[\w/]+\.py)(?:::(\w+))?", CONTRIBUTING)
    assert named
    assert all(f"def {test}" in (ROOT / path).read_text(encoding="utf-8") for path, test in named)


def test_the_glossary_is_in_order_and_points_at_what_is_there() -> None:
    words = re.findall(r"^\| (\w+) \|", GLOSSARY, re.MULTILINE)[1:]
    assert words == sorted(set(words))
    places = re.findall(r"`((?:schemas|streams)/[\w/.]*)`", GLOSSARY)
    assert len(places) >= len(words)
    assert [place for place in places if not (ROOT / place).exists()] == []
