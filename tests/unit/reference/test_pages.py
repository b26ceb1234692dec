"""The generated reference leaves nothing out: commands, settings, topics, metrics, public names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import streams
from reference import cli, library, metrics, settings, topics
from reference.fields import field_docstrings, field_table
from reference.markdown import table
from schemas import TOPICS
from schemas.export import json_schemas
from streams.settings import Settings

ROOT = Path(__file__).parents[3]
CLI, SETTINGS, TOPIC_PAGE = cli.page(), settings.page(), topics.page()


def section(page: str, heading: str) -> str:
    """Return what follows a heading of the second or third level, up to the next one."""
    found = re.split(rf"^###? {re.escape(heading)}(?: \{{#\w+\}})?$", page, maxsplit=1, flags=re.MULTILINE)
    assert len(found) == 2, f"there is no heading {heading}"
    return re.split(r"^##", found[1], maxsplit=1, flags=re.MULTILINE)[0]


def test_every_command_has_a_section_with_all_that_it_takes() -> None:
    names = {name for name, _ in cli.commands()}
    assert {"hedgerow", "hedgerow demo", "hedgerow drift replay", "hedgerow sandbox kafka"} <= names
    for name, command in cli.commands():
        said = section(CLI, name)
        assert command.help.splitlines()[0].replace("``", "`") in said
        for parameter in command.params:
            assert all(f"`{spelling}`" in said for spelling in cli.spellings(parameter)), parameter.name


def test_an_option_has_its_type_its_limits_and_its_default() -> None:
    assert "| `--workers` | integer, at least 1, at most 16 | `1` |" in section(CLI, "hedgerow demo")
    assert "| `--models` | `trained`, `llm`, `smollm2` | `trained` |" in section(CLI, "hedgerow demo")
    assert "| `--config`, `-c` | path | `hedgerow.yaml` | Settings file |" in section(CLI, "hedgerow worker")
    assert "| `TOPIC` | text | required |" in section(CLI, "hedgerow consume")


def test_every_field_of_the_settings_is_in_its_section() -> None:
    headings: dict[type[BaseModel], str] = {Settings: "Top level", **settings.headings()}
    assert len(set(headings.values())) == len(headings)
    paths = {path for places in settings.sections().values() for path in places}
    assert {"broker.security", "tiers.cheap", "tiers.big", "policy.cheap", "contracts.contracts[]"} <= paths
    for model, heading in headings.items():
        said = section(SETTINGS, heading)
        assert all(f"| `{name}` |" in said for name in model.model_fields), model


def test_a_field_has_its_type_its_limits_its_default_and_its_text() -> None:
    said = section(SETTINGS, "`topics`")
    assert "| `partitions` | integer, at least 1, at most 1000 | `8` |" in said
    assert "| `labels` | list of string or mapping to string | required |" in section(SETTINGS, "Top level")
    assert "Requests in flight at once" in section(SETTINGS, "`tiers.cheap`, `tiers.big`")


def test_every_topic_is_there_with_every_field_of_its_message() -> None:
    for topic in TOPICS.values():
        said = section(TOPIC_PAGE, f"`{topic.name}`")
        assert f"(schemas/{topics.schema_name(topic)})" in said
        assert topics.schema_name(topic) in json_schemas()
        assert all(f"| `{name}` |" in said for name in topic.message.model_fields)
    for model in topics.parts_of_messages():
        said = section(TOPIC_PAGE, model.__name__)
        assert all(f"| `{name}` |" in said for name in model.model_fields)


def test_every_metric_is_there() -> None:
    page = metrics.page()
    for registry in metrics.registries().values():
        endings = {"counter": "_total"}
        for family in registry.collect():
            assert f"| `{family.name}{endings.get(family.type, '')}` | {family.type} |" in page
    assert "| `hedgerow_model_attempts_total` | counter | `tier`, `outcome` |" in page


def test_the_page_knows_every_module_that_makes_metrics() -> None:
    makers = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "streams").rglob("*.py")
        if re.search(r"^from prometheus_client import .*\b(Counter|Gauge|Histogram)\b", path.read_text(), re.MULTILINE)
    ]
    assert sorted(makers) == ["streams/observability/metrics.py", "streams/prober/metrics.py"]


def test_every_public_name_is_there() -> None:
    page = library.page()
    assert all(section(page, f"`{name}`").strip() for name in streams.__all__)
    assert "score(body: object, labels: LabelSet) -> Reading\n" in page
    assert "ticket_id: str = ''" in page or "ticket_id: str," in page


@pytest.mark.parametrize("page", [CLI, SETTINGS, TOPIC_PAGE, metrics.page(), library.page()])
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: str) -> None:
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        widths = {len(re.sub(r"`[^`]*`", "", row).split("|")) for row in block.splitlines()}
        assert len(widths) == 1, block


class Base(BaseModel):
    size: int
    """In bytes."""


class Derived(Base):
    name: str | None = None
    #: No docstring.
    other: int = 3


def test_texts_below_fields_are_read_from_bases_too() -> None:
    assert field_docstrings(Derived) == {"size": "In bytes."}
    assert "| `size` | integer | required | In bytes. |" in field_table(Derived)
    assert "| `name` | string or null | `null` |  |" in field_table(Derived)


def test_a_bar_ends_no_cell() -> None:
    assert table(("a",), [("`x|y` or x|y",)]).splitlines()[-1] == "| `x|y` or x&#124;y |"
