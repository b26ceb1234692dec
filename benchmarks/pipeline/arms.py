"""The programs that are compared, each one a process that takes a settings file."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from streams.agents.registry import AGENTS


@dataclass(frozen=True, slots=True)
class Arm:
    """One program: its command before and after the settings file, and its consumer group for tickets."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...] = ()
    group: str = "classify"
    has_stages: bool = True
    has_memory: bool = False

    def command(self, settings: Path) -> list[str]:
        """Return the command line."""
        return [*self.before, str(settings), *self.after]


OURS = Arm("ours", (sys.executable, "-m", "streams.cli", "worker", "--config"), ("--agents", ",".join(AGENTS)))
OURS_WITH_MEMORY = replace(OURS, name="ours_with_memory", has_memory=True)
SCORE_ALONE = Arm("score", OURS.before, ("--agents", "score"), group="score")
BY_HAND = Arm("by_hand", (sys.executable, "-m", "benchmarks.pipeline.by_hand"))
BARE = Arm("bare", (sys.executable, "-m", "benchmarks.pipeline.bare"), group="bare-tickets", has_stages=False)


def quixstreams(python: str) -> Arm | None:
    """Return the arm that this interpreter runs, or None if it has no quixstreams."""
    found = subprocess.run([python, "-c", "import quixstreams"], capture_output=True, check=False).returncode == 0
    return Arm("quixstreams", (python, "-m", "benchmarks.pipeline.by_quix"), group="quix") if found else None
