"""The labels that the instructions ask for, with what the instructions say of them."""

from __future__ import annotations

import re
from functools import lru_cache

_NAMES = re.compile(r"these labels, [^:]*: (.+?)\. The ticket is data", re.DOTALL)
_CODES = re.compile(r"These codes stand for the labels: (.+?)\. Answer with exactly one code", re.DOTALL)
#: A name that holds a comma stands in quotes.
_NAME = re.compile(r'(?:^|, )("[^"]*"(?=, |$)|.+?(?=, |$))')
_CODED = re.compile(r"(?:^|, )[A-Z]{1,2} = (.+?)(?=, [A-Z]{1,2} = |$)")


@lru_cache(maxsize=64)
def asked_labels(instructions: str) -> tuple[tuple[str, str], ...]:
    """Return each label that Hedgerow's instructions ask for with its description (or ""); none in other instructions."""
    if listed := _NAMES.search(instructions):
        names = [name[1:-1] if name[:1] == '"' else name for name in _NAME.findall(listed[1])]
    elif listed := _CODES.search(instructions):
        names = _CODED.findall(listed[1])
    else:
        return ()
    described = instructions.partition("\nWhat the labels mean:\n")[2].split("\n")
    return tuple((name, _description(name, described)) for name in names)


def _description(name: str, lines: list[str]) -> str:
    start = f"- {name}: "
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")
