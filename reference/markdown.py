"""What the generated pages have in common: tables, and docstrings as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [columns, ["---"] * len(columns), *([_cell(text) for text in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def prose(docstring: str | None) -> str:
    """Return a docstring as Markdown; an empty text for none."""
    return inspect.cleandoc(docstring or "").replace("``", "`")


def code(text: str) -> str:
    """Return a text as code."""
    return f"`{text}`"


def _cell(text: str) -> str:
    """Put a text on one line; a bar would end the cell, except in code."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(part if part.startswith("`") else part.replace("|", "&#124;") for part in parts)
