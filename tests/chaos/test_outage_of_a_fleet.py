"""The same outage seen by four worker processes: one alert, and one ``recovered``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.brokers import require_kafka


@pytest.mark.parametrize("fault", ["silent", "change"])
@pytest.mark.parametrize("broker", ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)])
def test_four_workers_tell_of_an_outage_once_and_of_its_end_once(broker: str, fault: str, tmp_path: Path) -> None:
    if broker == "kafka":
        require_kafka()
    report = tmp_path / "report.json"
    options = ("--broker", broker, "--fault", fault, "--seconds", "9", "--rate", "40", "--json", str(report))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fleet_outage", *options],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert (figures["begun"], figures["recovered"], figures["lost"]) == (1, 1, 0)
    # One worker tries, once a second or, for the breaker, every few; four times as often were four workers.
    assert figures["calls_late_per_s"] < 2.5
