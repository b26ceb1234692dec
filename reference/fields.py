"""The fields of a pydantic model, as a table."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from reference.markdown import code, prose, table

_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
    "pattern": "like `{}`",
}


def field_table(model: type[BaseModel]) -> str:
    """Return the fields with their types, defaults and attribute docstrings; a nested model links to its own heading."""
    schema = model.model_json_schema()
    texts = field_docstrings(model)
    rows = [
        (
            code(name),
            type_text(schema["properties"][name], schema.get("$defs", {})),
            default_text(field),
            prose(texts.get(name) or field.description),
        )
        for name, field in model.model_fields.items()
    ]
    return table(("field", "type", "default", "what it is"), rows)


def nested_models(annotation: object) -> Iterator[type[BaseModel]]:
    """Yield the models that a value of this type may hold directly."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from nested_models(argument)


def type_text(schema: dict[str, Any], models: dict[str, Any]) -> str:
    """Say a JSON Schema in words; ``models`` is what its references point at."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        found = models[name]
        return type_text(found, models) if "properties" not in found else f"[{name}](#{name})"
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(type_text(each, models) for each in schema[union])
    if "enum" in schema:
        return ", ".join(code(str(value)) for value in schema["enum"])
    if "const" in schema:
        return code(str(schema["const"]))
    limits = [text.format(schema[key]) for key, text in _LIMITS.items() if key in schema]
    limits = ["not empty" if limit == "at least 1 characters" else limit for limit in limits]
    return ", ".join([_kind(schema, models), *limits])


def _kind(schema: dict[str, Any], models: dict[str, Any]) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        return "list of " + type_text(schema.get("items", {}), models)
    if kind == "object":
        values = schema.get("additionalProperties")
        return "mapping to " + type_text(values, models) if isinstance(values, dict) else "mapping"
    return str(schema.get("format", kind) if kind == "string" else kind)


def default_text(field: FieldInfo) -> str:
    """Return the default as JSON; nothing for a nested model, whose own table has its defaults."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or isinstance(default, BaseModel):
        return ""
    return code(json.dumps(to_jsonable_python(default), ensure_ascii=False))


def field_docstrings(cls: type) -> dict[str, str]:
    """Return the texts that stand below the attributes of a class and its bases."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is not object and not base.__module__.startswith("pydantic"):
            found |= _docstrings(base)
    return found


def _docstrings(cls: type) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for statement, following in zip(definition.body, definition.body[1:], strict=False):
        if (
            isinstance(statement, ast.AnnAssign)
            and isinstance(statement.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
            and isinstance(following.value.value, str)
        ):
            found[statement.target.id] = inspect.cleandoc(following.value.value)
    return found
