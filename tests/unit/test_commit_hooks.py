"""The hooks of a commit: they need nothing but the project's own tools, and refuse what CONTRIBUTING forbids."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.commit_message import fault

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))


def test_every_hook_runs_a_tool_of_the_virtual_environment() -> None:
    [local] = CONFIG["repos"]
    assert local["repo"] == "local"
    assert all(hook["language"] == "system" for hook in local["hooks"])
    assert all(hook["entry"].startswith(".venv/bin/") for hook in local["hooks"])


def test_the_hooks_run_every_check_of_make_check_that_is_quick() -> None:
    [target] = re.findall(r"^check: .*\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    checks = set(re.findall(r"\$\(BIN\)/(ruff \w+|mypy|lint-imports)", target))
    entries = [hook["entry"].removeprefix(".venv/bin/") for hook in CONFIG["repos"][0]["hooks"]]
    assert checks == {"ruff check", "ruff format", "mypy", "lint-imports"}
    assert all(any(entry.startswith(check) for entry in entries) for check in checks)


@pytest.mark.parametrize(
    "message",
    [
        "x" * 72,
        "Say what was done\n",
        "Say what was done\n\nAnd why.\n",
        "Say what was done\n# Please enter the commit message\n# On branch main\n",
    ],
)
def test_a_message_that_keeps_the_rules_passes(message: str) -> None:
    assert fault(message) is None


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("", "empty"),
        ("\n\nwhy", "empty"),
        ("# only comments\n", "empty"),
        ("x" * 73, "73 characters"),
        ("Say what was done\nand why\n", "second line"),
    ],
)
def test_a_message_that_breaks_one_is_refused(message: str, said: str) -> None:
    assert said in (fault(message) or "")


def test_the_hook_ends_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text("x" * 73)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.commit_message", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr == "commit message: the subject has 73 characters; at most 72 are allowed\n"
