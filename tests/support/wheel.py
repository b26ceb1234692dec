"""The project as a built wheel, and places to install it to; nothing is fetched."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.packages import base_packages, top_level

ROOT = Path(__file__).parents[2]


def pip(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def build_wheel(folder: Path) -> Path:
    """Build the wheel from a copy in ``folder``: a build leaves files beside its sources."""
    source, wheels = folder / "source", folder / "wheels"
    source.mkdir()
    for name in ("schemas", "streams"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", wheels)
    [wheel] = wheels.glob("hedgerow-*.whl")
    return wheel


def slim_environment(folder: Path) -> Path:
    """Create a virtual environment with the wheel and its base dependencies, none of the extras; return its bin folder.

    The dependencies are links to those that are installed here.
    """
    environment = folder / "slim"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=60)
    [site] = environment.glob("lib/python*/site-packages")
    for package in base_packages().values():
        for name in top_level(package):
            if not (site / name).exists():
                (site / name).symlink_to(package.locate_file(name))
    pip("--python", environment / "bin" / "python", "install", build_wheel(folder), "--no-deps", "--no-index")
    return environment / "bin"
