"""YAML files that people write, read with one line for whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from streams.encoding import text_of
from streams.errors import SettingsError

#: The longest file that a person writes, bytes; a policy with its whole fit is a hundredth of it.
MAX_BYTES = 4 * 1024 * 1024


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """Read a YAML mapping; raises SettingsError for a file that is away, unreadable or no mapping."""
    values = read_document(path, what)
    if not isinstance(values, dict):
        raise SettingsError(f"{what} file {path}: a mapping is expected, not {type(values).__name__}")
    return values


def read_document(path: Path, what: str) -> Any:
    """Read a YAML document of any form; raises SettingsError for a file that is away, unreadable or too long.

    UTF-8, or what a byte order mark says.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise SettingsError(f"{what} file {path}: longer than {MAX_BYTES} bytes")
        return yaml.safe_load(text_of(data, f"{what} file {path}"))
    except OSError as error:
        raise SettingsError(f"{what} file {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        # Not the whole message: it quotes the line, and what was written there may be a secret.
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise SettingsError(f"{what} file {path}: no valid YAML{place}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # A ValueError is no text in UTF-8, or a date such as 2026-13-01.
        raise SettingsError(f"{what} file {path}: no valid YAML: {' '.join(str(error).split())}") from None


def one_line(error: ValidationError) -> str:
    """Return the first fault with the key it is about, and how many more there are.

    A value is shown where it is a number; a text may be a password in the wrong place, and so may what stands for a variable.
    """
    problems = error.errors(include_url=False, include_context=False)
    first = problems[0]
    where = ".".join(str(part) for part in first["loc"]) or "file"
    if first["type"] == "extra_forbidden":
        text = f"unknown key {where}"
    elif first["type"] == "missing":
        text = f"{where} is missing"
    else:
        shown = isinstance(first["input"], int | float | None) and not where.endswith("_env")
        text = f"{where}: {first['msg']}" + (f" (it is {first['input']!r:.80})" if shown else "")
    return text if len(problems) == 1 else f"{text} (and {len(problems) - 1} more)"
