"""A short run of the chaos benchmark: kills, a freeze and a model server that goes away, and every ticket ends once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from benchmarks.chaos.plan import Act, plan
from tests.support.brokers import require_kafka


def test_the_plan_is_drawn_from_its_seed_alone() -> None:
    assert plan(3, 6, 3) == plan(3, 6, 3)
    acts = [step.act for step in plan(3, 6, 3)]
    assert (acts.count("kill_worker"), acts.count("kill_broker")) == (6, 3)
    assert set(acts) == set(get_args(Act))


@pytest.mark.kafka
def test_nothing_is_lost_and_nothing_ends_twice(tmp_path: Path) -> None:
    """At least once; ``tests/behaviour/test_exactly_once.py`` kills and freezes workers in the other mode."""
    require_kafka()
    report = tmp_path / "report.json"
    options = {"tickets": 900, "worker-kills": 2, "broker-kills": 1, "seed": 11, "report": report}
    arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *arguments], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert (figures["lost"], figures["duplicates"], figures["unscored_accepts"]) == (0, 0, 0)
    assert (figures["worker_kills"], figures["broker_kills"]) == (2, 1)
    assert list(figures) == REPORTED


REPORTED = """
    tickets lost duplicates unscored_accepts worker_kills broker_kills rebalances redelivered visible_duplicates model_calls
    extra_model_calls max_pause_s seconds
""".split()
