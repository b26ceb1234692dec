"""Templates to HTML: everything that is put into one is escaped, and hidden characters are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from streams.desk.visible import visible

_HERE = Path(__file__).parent
STATIC = _HERE / "static"
_TEMPLATES = _HERE / "templates"


class Rendering:
    """Renders the desk's templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalize,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "attr": _attribute,
            "when": _when,
            "iso": _iso,
            "span": _span,
            "percent": _percent,
            "part": lambda text: quote(text, safe=""),
        }
        self.static = _addresses()
        """The address of each static file."""
        self._templates.globals["static"] = self.static

    def response(self, template: str, context: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Return a page."""
        return HTMLResponse(self._templates.get_template(template).render(context), status)


def _finalize(value: Any) -> Any:
    """Show what is hidden in a text; what is markup already, is our own."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _attribute(value: object) -> Markup:
    """Return a value for an attribute that a program reads back: exactly as it is."""
    return escape(str(value))


def _when(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat()


def _span(seconds: float) -> str:
    """Return a length of time in its greatest unit."""
    for name, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or share == 0 else "<1%"


def _addresses() -> dict[str, Markup]:
    """Return the address of each static file, which changes with what is in it."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:8] for path in STATIC.iterdir()}
    return {name: Markup(f"/static/{name}?v={digest}") for name, digest in digests.items()}  # noqa: S704 - our own names
