"""Asks whether a pinned dependency has a known vulnerability: ``python -m tests.support.audit requirements.lock ...``

pip-audit asks the package index or OSV. It passes where the index knows the packages and no vulnerabilities, as mirrors do; so what
counts here is how many packages were audited. Exit 1 for a vulnerability; 0 where there is none, and where nobody can be asked, which
is then said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SERVICES = ("pypi", "osv")
_PATIENCE_S = 120


@dataclass(frozen=True, slots=True)
class Audit:
    """What one service said: how many packages it knew and did not know, and one line for each vulnerability."""

    service: str
    audited: int
    unknown: int
    found: tuple[str, ...]


def read(service: str, report: str) -> Audit | None:
    """Read pip-audit's JSON; None for what is none, or tells of no package."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    known = [package for package in packages if "vulns" in package]
    found = tuple(
        f"{package['name']} {package['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in known
        for flaw in package["vulns"]
    )
    return Audit(service, len(known), len(packages) - len(known), found) if known else None


def ask(service: str, files: Sequence[str]) -> Audit | None:
    """Run pip-audit on requirement files; None where the service cannot be reached or knows no package."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command += ["--format", "json", "--timeout", "10", "--vulnerability-service", service]
    command += [part for file in files for part in ("--requirement", file)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        return None
    return read(service, done.stdout)


def verdict(audit: Audit | None) -> tuple[int, str]:
    """Return the exit status and what to print."""
    if audit is None:
        return 0, "dependency audit: NOT DONE, no vulnerability service can be reached from here"
    unknown = f", {audit.unknown} unknown to it and not audited" if audit.unknown else ""
    lines = [
        *audit.found,
        f"dependency audit by {audit.service}: {audit.audited} packages{unknown}, {len(audit.found)} flaws",
    ]
    return int(bool(audit.found)), "\n".join(lines)


def main(files: Sequence[str]) -> int:
    """Ask one service after the other until one answers."""
    answers = (ask(service, files) for service in SERVICES)
    status, text = verdict(next((audit for audit in answers if audit is not None), None))
    print(text)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
