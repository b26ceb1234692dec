"""Hedgerow as a library: the public names, what importing them costs, and the same from an installed wheel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import streams
from tests.support import bodies
from tests.support.bodies import Tok
from tests.support.wheel import build_wheel, pip

ROOT = Path(__file__).parents[2]
NAMES = ["LabelSet", "Policy", "__version__", "decide_big", "decide_cheap", "score"]
HEAVY = {"aiokafka", "faust", "httpx", "numpy", "river", "scipy", "sklearn", "sqlalchemy"}
IMPORT_S = 0.15

THREE_LINES = """
from streams import LabelSet, Policy, decide_cheap, score
reading = score(body, LabelSet(["refund", "shipping"]))
decision = decide_cheap(Policy(), "t-1", reading)
"""


def run(code: str, path: Path, folder: Path, stdin: str = "") -> str:
    """Run code in a process of its own, with ``path`` first among the places of packages."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=stdin,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installed wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    site = folder / "site"
    pip("install", build_wheel(folder), "--no-deps", "--no-index", "--target", site)
    return site


@pytest.fixture(params=["checkout", "wheel"])
def place(request: pytest.FixtureRequest) -> Path:
    """Where the packages come from."""
    return ROOT if request.param == "checkout" else request.getfixturevalue("installed")


def test_the_public_names_are_these() -> None:
    assert streams.__all__ == NAMES
    assert {name for name in dir(streams) if name in NAMES} == set(NAMES)
    assert all(getattr(streams, name) is not None for name in NAMES)
    with pytest.raises(AttributeError, match="module 'streams' has no attribute 'scores'"):
        _ = streams.scores  # type: ignore[attr-defined]


def test_the_wheel_holds_the_two_packages_and_nothing_else(installed: Path) -> None:
    packages = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} - {"bin"}
    assert packages == {"schemas", "streams"}


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert streams.__version__ == project["version"]


def test_the_readme_and_the_package_show_the_same_lines() -> None:
    documented = [line for line in THREE_LINES.splitlines() if line]
    for text in (streams.__doc__ or "", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert [line for line in documented if line not in text] == []


def test_importing_costs_next_to_nothing(place: Path, tmp_path: Path) -> None:
    loaded = run("import sys, streams; print(*sys.modules)", place, tmp_path).split()
    assert {name.partition(".")[0] for name in loaded} & {*HEAVY, "pydantic", "orjson", "asyncio"} == set()
    assert min(seconds_of("import streams", place, tmp_path) for _ in range(5)) < IMPORT_S


def seconds_of(code: str, path: Path, folder: Path) -> float:
    """Return the processor's seconds: what else the machine does is not in them."""
    began = os.times()
    run(code, path, folder)
    ended = os.times()
    return ended.children_user + ended.children_system - began.children_user - began.children_system


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_the_first_to_be_imported(name: str, tmp_path: Path) -> None:
    assert run(f"from streams import {name}; print({name!r} in dir())", ROOT, tmp_path) == "True\n"


def test_three_lines_score_a_response_body(place: Path, tmp_path: Path) -> None:
    body = bodies.chat([Tok("refund", 0.97, {"shipping": 0.02})])
    code = f"""
import json, sys
body = json.load(sys.stdin)
{THREE_LINES}
import schemas, streams
loaded = sorted({{name.partition(".")[0] for name in sys.modules}})
files = [schemas.__file__, streams.__file__]
print(json.dumps([reading.signal.label, reading.signal.confidence, decision.action, streams.__version__, loaded, files]))
"""
    label, confidence, action, version, loaded, files = json.loads(run(code, place, tmp_path, json.dumps(body)))
    assert (label, round(confidence, 6), action, version) == ("refund", 0.97, "accept", streams.__version__)
    assert set(loaded) & HEAVY == set()
    assert all(Path(file).is_relative_to(place) for file in files)


def test_a_type_checker_sees_the_names_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    """It sees no more than those: a misspelled name is an error."""
    assert (installed / "streams" / "py.typed").exists()
    (tmp_path / "right.py").write_text(
        f"body: object = None\n{THREE_LINES}\nreveal_type(score)\nreveal_type(decision)\n"
    )
    (tmp_path / "wrong.py").write_text("from streams import scores\n")
    said = {name: checked(tmp_path / name, installed, tmp_path) for name in ("right.py", "wrong.py")}
    assert "-> streams.core.signal.score.Reading" in said["right.py"]
    assert 'Revealed type is "streams.core.policy.policy.Decision"' in said["right.py"]
    assert "error" not in said["right.py"]
    assert 'Module "streams" has no attribute "scores"' in said["wrong.py"]


def checked(file: Path, path: Path, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder / 'cache'}", file.name],
        cwd=folder,
        env={**os.environ, "MYPYPATH": str(path), "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert not done.stderr
    return done.stdout
