"""The documents and their pictures."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PICTURES = {path.resolve() for path in (ROOT / "docs" / "img").rglob("*.*")}


def shown(document: Path) -> set[Path]:
    """Return the pictures that a document shows."""
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", document.read_text(encoding="utf-8"))
    return {(document.parent / name).resolve() for name in named}


def test_documents_show_pictures_that_exist_and_every_picture_is_shown() -> None:
    assert set().union(*map(shown, DOCUMENTS)) == PICTURES
