"""The page of the Python API: the public names of ``streams``, and what their calls return."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from pydantic import BaseModel

import streams
from reference.fields import field_docstrings
from reference.markdown import code, prose, table
from streams.core.policy.policy import Decision
from streams.core.signal.score import Reading

_INTRODUCTION = """# Python API

The public names of the package `streams`. Everything else in it may change from one version to the next. Importing the package
is cheap: each name is loaded when it is first used. `Scored` and `Unscorable` are described with the [messages](topics.md#Scored).
"""


def page() -> str:
    """Return the page."""
    parts = [_INTRODUCTION, *(_name(name, getattr(streams, name)) for name in streams.__all__)]
    return "\n\n".join([*parts, _name("Reading", Reading), _name("Decision", Decision)])


def _name(name: str, value: Any) -> str:
    if name == "__version__":
        return f"## {code(name)}\n\nThe version of the project, a string."
    parts = [f"## {code(name)} {{#{name}}}"]
    if isinstance(value, type) and issubclass(value, BaseModel):
        return "\n\n".join([*parts, prose(value.__doc__), f"The fields: [policy](settings.md#{name}) in the settings."])
    if dataclasses.is_dataclass(value) and isinstance(value, type) and name not in streams.__all__:
        return "\n\n".join([*parts, prose(value.__doc__), _attributes(value)])
    parts += [_signature(name, value), prose(value.__doc__)]
    if isinstance(value, type):
        parts += [_member(name, each) for each in _members(value)]
    return "\n\n".join(parts)


def _attributes(value: Any) -> str:
    texts = field_docstrings(value)
    rows = [(code(each.name), code(str(each.type)), prose(texts.get(each.name))) for each in dataclasses.fields(value)]
    return table(("field", "type", "what it is"), rows)


class _Unquoted(str):
    """An annotation as it stands in the source."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(name: str, value: Any) -> str:
    signature = inspect.signature(value)
    parameters = [
        parameter.replace(annotation=_Unquoted(parameter.annotation))
        for parameter in signature.parameters.values()
        if parameter.name not in {"self", "cls"}
    ]
    returned = signature.empty if isinstance(value, type) else _Unquoted(signature.return_annotation)
    return f"```python\n{name}{signature.replace(parameters=parameters, return_annotation=returned)}\n```"


def _members(cls: type) -> list[tuple[str, Any]]:
    return [(name, each) for name, each in vars(cls).items() if not name.startswith("_") and _doc(each)]


def _doc(member: Any) -> str | None:
    return getattr(member, "__doc__", None) if isinstance(member, property | classmethod) or callable(member) else None


def _member(owner: str, member: tuple[str, Any]) -> str:
    name, each = member
    if isinstance(each, property):
        return f"### {code(f'{owner}.{name}')}\n\n{prose(each.__doc__)}"
    call = each.__func__ if isinstance(each, classmethod | staticmethod) else each
    return f"### {code(f'{owner}.{name}')}\n\n{_signature(f'{owner}.{name}', call)}\n\n{prose(call.__doc__)}"
