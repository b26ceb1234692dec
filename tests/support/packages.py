"""Which installed packages the base dependencies bring, without any extra."""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def base_packages() -> dict[str, Distribution]:
    """Return the base dependencies and everything that they require here, by normalised name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, Distribution] = {}
    wanted = [Requirement(line) for line in project["dependencies"]]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution(name)
        wanted += [Requirement(line) for line in found[name].requires or ()]
    return found


def other_modules() -> set[str]:
    """Return the top-level modules that are installed here and that no base package brings."""
    base = base_packages()
    brought = {part for package in base.values() for part in top_level(package)}
    others = (package for package in distributions() if canonicalize_name(package.name) not in {*base, "hedgerow"})
    return {Path(part).stem.partition(".")[0] for package in others for part in top_level(package) - brought}


def top_level(package: Distribution) -> set[str]:
    """Return the files and folders that a package has put into site-packages itself."""
    return {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}
