"""Hedgerow as a library: three lines without Kafka, from the installed wheel, and the example that shows it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import streams
from tests.support import bodies
from tests.support.bodies import Tok

ROOT = Path(__file__).parents[2]
BODY = bodies.chat([Tok("refund", 0.9, {"billing": 0.06})])
HEAVY = {"aiokafka", "faust", "sklearn", "scipy", "sqlalchemy", "httpx", "river", "prometheus_client"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed alone into a folder."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = folder.glob("hedgerow-*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True, timeout=120)
    return folder / "site"


def python(installed: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_public_name_is_there_and_no_other() -> None:
    assert all(getattr(streams, name) is not None for name in streams.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        streams.nothing  # noqa: B018


def test_three_lines_score_a_response(installed: Path) -> None:
    lines = (
        "import json, sys, streams\n"
        "from streams import LabelSet, Policy, decide_big, decide_cheap, score, __version__\n"
        "reading = score(json.load(sys.stdin), LabelSet(['refund', 'billing']))\n"
        "decision = decide_cheap(Policy(), reading.signal, ticket_id='t', model=reading.model)\n"
        "print(json.dumps([streams.__file__, reading.signal.label, decision.action,"
        " sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    path, label, action, loaded = json.loads(python(installed, "-c", lines, stdin=json.dumps(BODY)))
    assert Path(path).is_relative_to(installed)
    assert (label, action) == ("refund", "accept")
    assert not HEAVY & set(loaded)


def test_importing_the_package_loads_nothing_of_it(installed: Path) -> None:
    script = "import sys, streams; print(*(name for name in sys.modules if name.startswith(('streams', 'pydantic'))))"
    assert python(installed, "-c", script).split() == ["streams"]


def test_the_example_runs(installed: Path) -> None:
    signal, decision = python(
        installed, str(ROOT / "examples" / "score_a_response.py"), stdin=json.dumps(BODY)
    ).splitlines()
    assert json.loads(signal)["confidence"] == pytest.approx(0.9)
    assert decision == "accept"
