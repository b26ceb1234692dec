"""JSON Schema of every message, written to ``schemas/json`` (``python -m schemas.export``)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schemas.registry import TOPICS

FOLDER = Path(__file__).parent / "json"


def json_schemas() -> dict[str, str]:
    """Return file name to JSON Schema text, one per topic."""
    return {
        f"{topic.name}.v{topic.message.VERSION}.json": json.dumps(
            {"$comment": f"topic {topic.name}, key {topic.key}", **_with_tags(topic.message.model_json_schema())},
            indent=1,
        )
        + "\n"
        for topic in TOPICS.values()
    }


def _with_tags(schema: dict[str, Any]) -> dict[str, Any]:
    """Require the field that tells the members of a union apart: it has a default in Python, and no reader can do without it."""
    parts = schema.get("$defs", {})
    for part in parts.values():
        for field in part.get("properties", {}).values():
            for union in (field, *field.get("anyOf", ())):
                for reference in union.get("oneOf", ()) if "discriminator" in union else ():
                    member = parts[reference["$ref"].rpartition("/")[2]]
                    tag = union["discriminator"]["propertyName"]
                    member["required"] = [tag, *(name for name in member["required"] if name != tag)]
    return schema


def main() -> None:
    """Write the schemas of this version next to those of older versions, which stay."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in json_schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
