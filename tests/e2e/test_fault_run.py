"""A fault run of the demo: some calls without a signal, then every call. Nothing is accepted, spend is held, and it is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.sandbox.tickets import DEMO, TRAIN

TICKETS = 300
MOST = 60


def write_tickets(folder: Path) -> Path:
    """The bundled rows, each under an id of its own."""
    rows = [json.loads(line) for path in (DEMO, TRAIN) for line in path.read_text().splitlines() if line.strip()]
    path = folder / "tickets.jsonl"
    path.write_text(
        "".join(json.dumps(row | {"ticket_id": f"t-{number}"}) + "\n" for number, row in enumerate(rows[:TICKETS]))
    )
    return path


def run_demo(folder: Path, *arguments: str) -> dict[str, Any]:
    policy, report = folder / "policy.yaml", folder / "report.json"
    policy.write_text(yaml.safe_dump({"id": "capped", "max_escalations_per_hour": MOST}))
    command = [sys.executable, "-m", "streams.cli", "demo", "--tickets", str(write_tickets(folder))]
    command += ["--policy", str(policy), "--report", str(report), "--no-memory", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(report.read_text())
    return figures


# The other logprob faults are in tests/behaviour/test_guarded_endpoint.py, without a broker.
@pytest.mark.parametrize("fault", ["logprobs_null", "truncated_k", "nan_logprob"])
def test_some_calls_then_every_call(tmp_path: Path, fault: str) -> None:
    figures = run_demo(tmp_path, "--fault", f"{fault}=0.3", "--then-fault", f"{fault}=1")
    assert figures["unscored_accepts"] == figures["lost"] == figures["duplicates"] == 0
    assert figures["tickets"] == figures["routed"] + figures["in_review"] == TICKETS
    # Each half has 150 cheap calls, and a window is 100: both are told within it, each once, under its own name.
    alerts = figures["alerts"]
    assert 1 <= alerts["signal_outage"] <= 2  # the big tier's too, where it is asked often enough to tell
    assert 1 <= alerts["contract_changed"] <= 2
    assert "recovered" not in alerts
    # Spend is held: what is beyond the hour's escalations is with a reviewer, and that is told once.
    assert figures["escalation_rate"] * TICKETS <= MOST + 1e-9
    assert figures["escalations_over_budget"] > 0
    assert alerts["escalation_budget"] == 1
