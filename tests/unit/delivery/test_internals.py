"""What delivery relies on inside faust, mode and aiokafka is as it was read; a new version that changes it fails here."""

from __future__ import annotations

import ast
import importlib.metadata
from dataclasses import replace
from pathlib import Path

import pytest

import streams.delivery
import streams.kafka
from tests.support.internals import INTERNALS, RECORDED_FOR, Internal, differences, digest_of


def test_nothing_that_we_rely_on_has_changed() -> None:
    found = {difference.internal.name: (difference.kind, difference.found) for difference in differences()}
    assert not found, (
        "read what changed, adapt streams/delivery or streams/kafka, then record the new digests in tests/support/internals.py"
    )


@pytest.mark.parametrize(("package", "version"), RECORDED_FOR.items())
def test_the_recorded_versions_are_the_installed_ones(package: str, version: str) -> None:
    assert importlib.metadata.version(package) == version


def test_every_piece_is_listed_once_with_a_reason() -> None:
    names = [internal.name for internal in INTERNALS]
    assert len(names) == len(set(names))
    assert all(internal.why for internal in INTERNALS)


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.name)
def test_a_change_is_noticed(internal: Internal) -> None:
    (difference,) = differences([replace(internal, digest="0" * 12)])
    assert (difference.kind, difference.found) == ("changed", internal.digest)


@pytest.mark.parametrize(
    "name",
    [
        "faust.transport.consumer:Consumer._no_such_method",
        "faust.no_such_module:Consumer",
        "no_such_package:anything",
        "faust._cython/no_such_file.pyx",
        "faust.transport.consumer:Consumer._commit_every.deeper",
        "faust.transport.consumer:CONSUMER_FETCHING",
    ],
)
def test_what_is_gone_is_noticed(name: str) -> None:
    (difference,) = differences([Internal(name, "0" * 12, "a test")])
    assert (difference.kind, difference.found) == ("gone", None)


def test_white_space_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "hedgerow_spaced_one": "def f(a):\n    return a + 1\n",
        "hedgerow_spaced_two": "def f(a):\n\n        return   a + 1\n\n\n",
        "hedgerow_spaced_three": "def f(a):\n    return a + 2\n",
    }.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    one, two, three = (digest_of(f"hedgerow_spaced_{n}:f") for n in ("one", "two", "three"))
    assert one == two != three


def test_every_private_attribute_of_others_that_we_touch_is_in_the_table() -> None:
    table = " ".join(f"{internal.name} {internal.why}" for internal in INTERNALS)
    folders = [Path(str(room.__file__)).parent for room in (streams.delivery, streams.kafka)]
    for path in (path for folder in folders for path in folder.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                assert node.attr[0] != "_" or node.attr.endswith("__") or node.attr in table, (
                    f"{path.name}: {node.attr}"
                )
