"""Values drawn from a JSON Schema: everything that it allows may come, the same for the same seed."""

from __future__ import annotations

import base64
from random import Random
from typing import Any

Schema = dict[str, Any]

_LETTERS = (
    "abcdefghijklmnopqrstuvwxyz", " .,:;-_/'\"\\{}[]<>&%$#", "äöüßéñçøåłžığ", "日本語中文한국어", "אבגدهو", "🙂👩‍👩‍👧🇩🇪",
    "\u0000\u0001\u001f\u007f\u00ad", "\u200b\u200d\u202e\ufeff\ufffd", "\u0301\u0308", "\t\r\n\u2028", "0123456789",
)  # fmt: skip
_NUMBERS = (0.0, 1.0, 0.5, 1e-9, 1e-320, 0.65, 0.8, 0.95, 100.0, 1e18, 1e308)
_COUNTS = (0, 1, 2, 20, 255, 65_536, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)


class Generator:
    """Draws values of one schema."""

    def __init__(self, schema: Schema, random: Random) -> None:
        self._schema = schema
        self._random = random

    def draw(self) -> Any:
        """Return one value that the schema allows."""
        return self._value(self._schema)

    def _value(self, schema: Schema) -> Any:
        random = self._random
        if "$ref" in schema:
            return self._value(self._schema["$defs"][schema["$ref"].rpartition("/")[2]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return random.choice(schema["enum"])
        for several in ("anyOf", "oneOf"):
            if several in schema:
                return self._value(random.choice(schema[several]))
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return [self._value(schema["items"]) for _ in range(random.choice((0, 1, 1, 2, 3)))]
            case "string":
                return self._string(schema)
            case "integer":
                return self._integer(schema)
            case "number":
                return self._number(schema)
            case "boolean":
                return random.random() < 0.5
            case "null":
                return None
        return random.choice((None, True, 7, 0.25, "any", [1, [2]], {"a": {"b": None}}))

    def _object(self, schema: Schema) -> dict[str, Any]:
        random = self._random
        required = set(schema.get("required", ()))
        found = {
            name: self._value(inner)
            for name, inner in schema.get("properties", {}).items()
            if name in required or random.random() < 0.7
        }
        more = schema.get("additionalProperties")
        if more:
            keys = schema.get("propertyNames", {"minLength": 0})
            for _ in range(random.choice((0, 1, 3))):
                name, value = self._string(keys), self._value(more if isinstance(more, dict) else {})
                if name not in schema.get("properties", {}):  # of those the schema says more
                    found[name] = value
        return found

    def _string(self, schema: Schema) -> str:
        random = self._random
        longest = schema.get("maxLength", 300)
        shortest = schema.get("minLength", 0)
        if schema.get("format") == "base64url":
            return base64.urlsafe_b64encode(random.randbytes(random.randrange(60))).decode()
        length = random.randint(shortest, max(shortest, min(longest, 40)))
        if random.random() < 0.02:
            length = random.choice((shortest, longest))
        letters = random.choice(_LETTERS) + random.choice(_LETTERS[:3])
        return "".join(random.choices(letters, k=length))[:longest]

    def _integer(self, schema: Schema) -> int:
        low, high = schema.get("minimum", 0), schema.get("maximum")
        if high is not None:
            return self._random.randint(low, high)
        return max(int(low), self._random.choice(_COUNTS))

    def _number(self, schema: Schema) -> float:
        low, high = schema.get("minimum", -1e308), schema.get("maximum", 1e308)
        if self._random.random() < 0.5:
            return float(min(high, max(low, self._random.choice(_NUMBERS))))
        return self._random.uniform(max(low, -50.0), min(high, 50.0))
