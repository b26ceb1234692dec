"""The pages as an OpenAPI document, made from their table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from streams.desk.page import Page


def document(pages: Sequence[Page], prefix: str) -> dict[str, Any]:
    """Return the document of all pages that are served as JSON under a prefix."""
    paths: dict[str, dict[str, Any]] = {}
    for page in pages:
        if page.json:
            path = prefix + re.sub(r":path}", "}", page.path)
            paths.setdefault(path, {})[page.method.lower()] = _operation(page)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hedgerow desk", "version": version("hedgerow")},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(page: Page) -> dict[str, Any]:
    schema = page.fields.model_json_schema()
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)", page.path)
    ]
    operation: dict[str, Any] = {
        "summary": page.summary,
        "description": f"Needs the role {page.role}.",
        "operationId": f"{page.method.lower()}{re.sub(r'[^a-z]+', '_', page.path.lower()).rstrip('_')}",
        "responses": {
            "200": {
                "description": "What the page says",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "400": {"description": "A field is missing or impossible"},
            "401": {"description": "No token"},
            "403": {"description": "The role does not allow it"},
            "409": {"description": "The ticket is decided, claimed or closed"},
            "503": {"description": "The store or the broker does not answer; try again"},
        },
    }
    if page.method == "POST":
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    else:
        parameters += [
            {"name": name, "in": "query", "required": name in schema.get("required", ()), "schema": part}
            for name, part in schema.get("properties", {}).items()
        ]
    return operation | ({"parameters": parameters} if parameters else {})
