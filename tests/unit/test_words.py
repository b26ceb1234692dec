"""Phrases that native English does not have, kept out of documents, docstrings, messages and help texts."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
INSTEAD = {
    r"stands? still|stood still": "stalls, or pauses",
    r"anew": "again",
    r"in front of (a person|people)": "with a reviewer, or in the review queue",
    r"so many": "N, this many, or the number of",
}
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")],
)
MODULES = sorted([*(ROOT / "streams").rglob("*.py"), *(ROOT / "schemas").rglob("*.py")])


def found(text: str) -> list[str]:
    """Return each phrase of the text that has a better word, with that word."""
    return [
        f"{match.group()!r}: write {better}"
        for phrase, better in INSTEAD.items()
        for match in re.finditer(rf"\b({phrase})\b", " ".join(text.split()), re.IGNORECASE)
    ]


def strings(module: Path) -> list[tuple[int, str]]:
    """Return the line and the value of every string in a module: docstrings, messages, help texts."""
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf-8")))
    return [
        (node.lineno, node.value) for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("text", ["It stands\nstill.", "begun Anew", "in front of a person", "at most so many"])
def test_a_phrase_is_found_across_lines_and_in_any_case(text: str) -> None:
    assert len(found(text)) == 1


def test_there_are_documents_and_modules_to_read() -> None:
    assert ROOT / "README.md" in DOCUMENTS
    assert ROOT / "docs" / "glossary.md" in DOCUMENTS
    assert ROOT / "streams" / "errors.py" in MODULES


def test_documents_say_it_in_plain_english() -> None:
    assert [
        f"{document.relative_to(ROOT)}: {phrase}"
        for document in DOCUMENTS
        if document.name != "CHANGELOG.md"  # says what was said then
        for phrase in found(document.read_text(encoding="utf-8"))
    ] == []


def test_docstrings_and_messages_say_it_in_plain_english() -> None:
    assert [
        f"{module.relative_to(ROOT)}:{line}: {phrase}"
        for module in MODULES
        for line, text in strings(module)
        for phrase in found(text)
    ] == []
