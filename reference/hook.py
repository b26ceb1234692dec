"""What MkDocs calls while it builds the site: generated pages, links between documents, and nothing from elsewhere."""

from __future__ import annotations

import logging
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference import cli, library, metrics, settings, topics
from schemas.export import json_schemas

ROOT = Path(__file__).parents[1]
#: Documents that stand at the top of the repository.
ROOT_PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "topology.md")
PAGES = {"cli": cli, "library": library, "metrics": metrics, "settings": settings, "topics": topics}

_log = logging.getLogger("mkdocs.plugins.reference")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the JSON Schemas and the documents outside of ``docs``."""
    pages = {f"reference/{name}.md": module.page() for name, module in PAGES.items()}
    pages |= {f"reference/schemas/{name}": text for name, text in json_schemas().items()}
    pages |= {name: (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](") for name in ROOT_PAGES}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link every document that is named as code, as in ``docs/drift.md``."""
    del config
    return linked(without_escapes(markdown), page.file.src_uri, {file.src_uri for file in files.documentation_pages()})


def without_escapes(markdown: str) -> str:
    r"""Return the text with ``|`` for ``\|`` in code: only GitHub's tables need the backslash there, others show it."""
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace(r"\|", "|"), markdown)


def linked(markdown: str, source: str, documents: set[str]) -> str:
    """Return the text of the page ``source`` with a link at each of these documents that it names as code."""

    def link(match: re.Match[str]) -> str:
        target = match[1].removeprefix("docs/")
        if target not in documents or target == source:
            return match[0]
        return f"[{match[0]}]({posixpath.relpath(target, posixpath.dirname(source) or '.')})"

    return re.sub(r"(?<!\[)`((?:docs/)?[\w/-]+\.md)`", link, markdown)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn, which ends a strict build, if a page would load anything from another host."""
    del config
    for address in loaded(output):
        _log.warning("page %s loads %s: the site must work offline", page.file.src_uri, address)
    return output


def loaded(page: str) -> list[str]:
    """Return what a browser would fetch from other hosts to show an HTML page; links are not fetched.

    The theme fetches Mermaid itself for a drawing that is written in it.
    """
    tags = re.findall(r"<(?:script|img|link|iframe|source|object)\b[^>]*>", page)
    found = [address for tag in tags for address in re.findall(r"(?:src|href|data)=\"?((?:https?:)?//[^\"\s>]+)", tag)]
    return found + re.findall(r"<pre class=\"?(mermaid)", page)
