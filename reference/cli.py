"""The page of the command line: every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import typer

from reference.markdown import code, prose, table
from streams.cli.main import app

_INTRODUCTION = """# Command line

Exit status: 0 done; 1 done, and the result is not good; 2 refused, with one line that says why; 130 after Ctrl-C.
"""
_KINDS = {Path: "path", float: "number", int: "integer", str: "text"}


def page() -> str:
    """Return the page: the groups and commands in the order of ``--help``."""
    parts = [_INTRODUCTION]
    for name, command in commands():
        parts += [f"## {name}", prose(command.help)]
        if rows := [_row(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]:
            parts.append(table(("parameter", "value", "default", "what it does"), rows))
    return "\n\n".join(parts)


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every command and group, with the words that call it."""
    return _below("hedgerow", typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, each in getattr(command, "commands", {}).items():
        yield from _below(f"{name} {word}", each)


def spellings(parameter: Any) -> list[str]:
    """Return an option's spellings, or an argument's name in capitals."""
    if parameter.param_type_name == "argument":
        return [parameter.name.upper()]
    return [*parameter.opts, *parameter.secondary_opts]


def _row(parameter: Any) -> tuple[str, str, str, str]:
    return (
        ", ".join(map(code, spellings(parameter))),
        _value(parameter),
        _default(parameter),
        getattr(parameter, "help", None) or "",
    )


def _value(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    if getattr(parameter, "is_flag", False):
        return "flag"
    if choices := get_args(kind):
        return ", ".join(code(str(choice)) for choice in choices)
    limits = [
        f"{word} {value}"
        for word, value in (("at least", parameter.min), ("at most", parameter.max))
        if value is not None
    ]
    return ", ".join([_KINDS.get(kind, kind.__name__), *limits])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    default = parameter.default
    return "" if default is None or default is False or default == "" else code(str(default))
