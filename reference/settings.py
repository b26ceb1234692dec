"""The page of the settings: every section, every field."""

from __future__ import annotations

from types import UnionType
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel

from reference.fields import field_table, nested_models
from reference.markdown import code, prose
from streams.settings import Settings

_INTRODUCTION = """# Settings

One YAML file, named by `--config` (default: `hedgerow.yaml`). An unknown key or an impossible value is refused with one line
that names it. An environment variable overrides the file: `HEDGEROW_BROKER__BOOTSTRAP` is `broker.bootstrap`. `policy`,
`contracts` and `endpoints` may be the names of files, relative to the settings file.
"""


def page() -> str:
    """Return the page: the top level, then a section for each nested model."""
    parts = [_INTRODUCTION, f"## Top level {{#{Settings.__name__}}}", field_table(Settings)]
    for model, heading in headings().items():
        parts += [f"## {heading} {{#{model.__name__}}}", prose(model.__doc__), field_table(model)]
    return "\n\n".join(parts)


def headings() -> dict[type[BaseModel], str]:
    """Return the heading of every section: its paths, and the model's name if it is one of several."""
    found = sections()
    return {
        model: ", ".join(map(code, paths))
        + (f" ({model.__name__})" if any(paths == other for each, other in found.items() if each is not model) else "")
        for model, paths in found.items()
    }


def sections() -> dict[type[BaseModel], list[str]]:
    """Return every model below the top level with the paths at which it is used; ``[]`` stands for each item of a list."""
    found: dict[type[BaseModel], list[str]] = {}
    _collect(Settings, "", found)
    return found


def _collect(model: type[BaseModel], path: str, found: dict[type[BaseModel], list[str]]) -> None:
    for name, field in model.model_fields.items():
        for nested in nested_models(field.annotation):
            place = f"{path}{name}{'' if nested in _members(field.annotation) else '[]'}"
            if place not in found.setdefault(nested, []):
                found[nested].append(place)
            _collect(nested, f"{place}.", found)


def _members(annotation: object) -> tuple[object, ...]:
    """Return the type itself and the members of a union; what is inside of a list is none of them."""
    if get_origin(annotation) in {UnionType, Union, Annotated}:
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)
