"""What happens to the pages of the site while it is built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

pytest.importorskip("mkdocs", reason="needs the dependency group docs")

from reference.hook import PAGES, ROOT_PAGES, linked, loaded, without_escapes

ROOT = Path(__file__).parents[3]
DOCUMENTS = {"drift.md", "howto/run.md", "topology.md", "glossary.md"}


@pytest.mark.parametrize(
    ("source", "text", "result"),
    [
        ("signal.md", "see `docs/drift.md`.", "see [`docs/drift.md`](drift.md)."),
        ("howto/run.md", "see `topology.md`.", "see [`topology.md`](../topology.md)."),
        ("signal.md", "see `howto/run.md`.", "see [`howto/run.md`](howto/run.md)."),
        ("drift.md", "see `docs/drift.md`.", "see `docs/drift.md`."),
        ("signal.md", "see `docs/other.md`.", "see `docs/other.md`."),
        ("signal.md", "see [`docs/drift.md`](drift.md).", "see [`docs/drift.md`](drift.md)."),
    ],
)
def test_a_document_that_is_named_as_code_becomes_a_link(source: str, text: str, result: str) -> None:
    assert linked(text, source, DOCUMENTS) == result


def test_a_bar_in_code_needs_no_backslash() -> None:
    assert without_escapes(r"| `<\|a\|>` | a \| b |") == r"| `<|a|>` | a \| b |"


def test_what_a_page_would_load_from_another_host_is_found() -> None:
    page = """
    <a href="https://example.com/">a link</a> <link href=assets/main.css rel=stylesheet> <img src="img/a.svg">
    <script src="https://cdn.example.com/a.js"></script> <link rel=stylesheet href=//fonts.example.com/b>
    <img alt="c" src="http://example.com/c.svg"> <pre class="mermaid">
    """
    assert loaded(page) == [
        "https://cdn.example.com/a.js",
        "//fonts.example.com/b",
        "http://example.com/c.svg",
        "mermaid",
    ]


def test_every_document_has_a_place_in_the_navigation() -> None:
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    placed = re.findall(r"[\w/-]+\.md", str(navigation))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert sorted(placed) == sorted(written | set(ROOT_PAGES) | {f"reference/{name}.md" for name in PAGES})
