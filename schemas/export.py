"""JSON Schema of every message, written to ``schemas/json`` (``python -m schemas.export``)."""

from __future__ import annotations

import json
from pathlib import Path

from schemas.registry import TOPICS

FOLDER = Path(__file__).parent / "json"


def json_schemas() -> dict[str, str]:
    """Return file name to JSON Schema text, one per topic."""
    return {
        f"{topic.name}.v{topic.message.VERSION}.json": json.dumps(
            {"$comment": f"topic {topic.name}, key {topic.key}", **topic.message.model_json_schema()}, indent=1
        )
        + "\n"
        for topic in TOPICS.values()
    }


def main() -> None:
    """Write the schemas of this version beside those of older versions, which stay."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in json_schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
