"""The shape of the house: imports run one way, one `ls` explains it, and nothing is without a test."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: The modules of streams that are in no room.
LOOSE = {"__init__.py", "aio.py", "errors.py", "evaluation.py", "files.py", "settings.py"}
#: Run as commands by the behaviour tests, and so imported by none.
COMMANDS = ("streams.cli", "streams.sandbox.model_server.__main__", "benchmarks")


def sources() -> list[Path]:
    return sorted(path for package in ("schemas", "streams") for path in (ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(path: Path) -> set[str]:
    """Return every module that a file names in an import, and every name that it takes from one."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_run_one_way_and_the_core_is_pure() -> None:
    """The contracts stand in pyproject.toml."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=ROOT,
        env={**os.environ, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kept, 0 broken" in done.stdout


def test_the_core_knows_neither_clock_nor_chance_nor_files() -> None:
    """What import-linter cannot see: the standard library."""
    forbidden = {"time", "random", "secrets", "os", "pathlib", "io", "socket", "logging", "asyncio", "threading"}
    for path in [*(ROOT / "streams" / "core").rglob("*.py"), ROOT / "schemas" / "base.py"]:
        assert not imported_by(path) & forbidden, path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert not {call.attr for call in calls if isinstance(call, ast.Attribute)} & {"now", "utcnow", "today"}, path


def test_every_module_is_in_a_room() -> None:
    assert {path.name for path in (ROOT / "streams").glob("*.py")} == LOOSE


def test_no_two_files_of_the_core_have_the_same_name() -> None:
    names = [path.name for path in (ROOT / "streams" / "core").rglob("*.py") if path.name != "__init__.py"]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)


def test_every_module_or_the_package_it_is_in_is_imported_by_a_test() -> None:
    imported = {name for path in (ROOT / "tests").rglob("*.py") for name in imported_by(path)}
    tested = {group(name) for name in imported}
    names = [module_name(path) for path in sources()]
    untested = {group(name) for name in names if not name.startswith(COMMANDS)} - tested - {"streams"}
    assert untested == set()


def group(name: str) -> str:
    """Return what is tested together: a module of streams itself, else the innermost package that a module is in."""
    parts = name.split(".")
    while len(parts) > (2 if parts[0] == "streams" else 1) and not (ROOT.joinpath(*parts) / "__init__.py").exists():
        parts.pop()
    return ".".join(parts)


@pytest.mark.parametrize(
    "name", ["aiokafka", "faust", "sklearn", "scipy", "sqlalchemy", "pandas", "httpx", "river", "matplotlib"]
)
def test_the_command_line_starts_without_heavy_libraries(name: str) -> None:
    assert name not in loaded_by_help()


def loaded_by_help() -> set[str]:
    if not _loaded:
        script = "import sys, streams.cli.main; print(*(name.split('.')[0] for name in sys.modules))"
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        _loaded.update(done.stdout.split())
    return _loaded


_loaded: set[str] = set()


def test_no_two_test_files_have_one_name() -> None:
    """pytest imports them by their names alone: the second one would not be collected."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert [name for name in sorted(set(names)) if names.count(name) > 1] == []


def test_readme_names_every_room_and_every_module_beside_them() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [reading_map] = re.findall(r"^## Reading map\n(.+?)^## ", readme, re.DOTALL | re.MULTILINE)
    rooms = {f"{path.name}/" for path in (ROOT / "streams").iterdir() if (path / "__init__.py").exists()}
    assert [name for name in sorted(rooms | LOOSE - {"__init__.py"}) if name not in reading_map] == []
