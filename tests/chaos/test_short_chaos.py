"""A short run of the chaos benchmark: kills, a freeze and a model server that goes away, and every ticket ends once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from benchmarks.chaos.__main__ import is_false
from benchmarks.chaos.plan import Act, plan
from benchmarks.chaos.stand import Outage
from tests.support.brokers import require_kafka
from tests.support.messages import alert


def test_the_plan_is_drawn_from_its_seed_alone() -> None:
    assert plan(3, 6, 3) == plan(3, 6, 3)
    acts = [step.act for step in plan(3, 6, 3, 2)]
    assert (acts.count("kill_worker"), acts.count("kill_broker"), acts.count("kill_store")) == (6, 3, 2)
    assert set(acts) == set(get_args(Act))


@pytest.mark.parametrize(
    ("kind", "at_ms", "is_wrong"),
    [
        ("endpoint_down", 4, True),
        ("endpoint_down", 5, False),
        ("endpoint_down", 5_009, False),
        ("endpoint_down", 5_010, True),
        ("endpoint_down", 20_000, False),
        ("recovered", 5_010, False),
        ("contract_changed", 5, True),
        ("signal_outage", 5_010, False),
    ],
)
def test_an_endpoint_that_is_called_down_while_it_is_there_is_a_false_alert(
    kind: str, at_ms: int, is_wrong: bool
) -> None:
    assert is_false(alert(kind=kind, at_ms=at_ms), [Outage(5, 9), Outage(20_000)]) == is_wrong


def chaos(folder: Path, *flags: str, **options: object) -> dict[str, Any]:
    """Run the benchmark and return its report."""
    require_kafka()
    report = folder / "report.json"
    arguments = [str(part) for name, value in options.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = [sys.executable, "-m", "benchmarks.chaos", *arguments, *flags, "--report", str(report)]
    command += ["--logs", str(folder / "logs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + _logs(folder / "logs")
    figures: dict[str, Any] = json.loads(report.read_text())
    return figures


def _logs(folder: Path) -> str:
    return "\n".join(f"{log.name}:\n{log.read_text()}" for log in sorted(folder.glob("*.log")))


@pytest.mark.kafka
def test_nothing_is_lost_and_nothing_ends_twice(tmp_path: Path) -> None:
    """At least once; ``tests/behaviour/test_exactly_once.py`` kills and freezes workers in the other mode."""
    figures = chaos(tmp_path, tickets=900, worker_kills=2, broker_kills=1, seed=11)
    assert (figures["lost"], figures["duplicates"], figures["unscored_accepts"]) == (0, 0, 0)
    assert (figures["worker_kills"], figures["broker_kills"]) == (2, 1)
    assert list(figures) == REPORTED
    assert sum(figures["extra_by_cause"].values()) == figures["extra_model_calls"]


@pytest.mark.kafka
def test_a_memory_that_answers_alone_is_whole_and_nothing_is_seen_twice(tmp_path: Path) -> None:
    figures = chaos(tmp_path, "--memory", tickets=300, worker_kills=1, broker_kills=0, seed=5, delivery="exactly_once")
    assert (figures["lost"], figures["visible_duplicates"], figures["unscored_accepts"]) == (0, 0, 0)
    assert figures["worker_kills"] == 1
    assert figures["memory_accepts"] > 50
    assert figures["memory_wrong"] == 0


REPORTED = """
    tickets lost duplicates unscored_accepts routed dead_letters worker_kills broker_kills rebalances redelivered visible_duplicates model_calls
    extra_model_calls extra_by_cause alerts false_alerts alerts_duplicated max_pause_s seconds
""".split()
