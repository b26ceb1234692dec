"""kill -9 while labelled tickets are loaded and forgotten: nothing is lost, nothing is wrong, and the next command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.memory import open_memory
from streams.sandbox.brokers.broker import Broker
from tests.support.commands import Hedgerow
from tests.support.memories import open_letters

TEXTS = {f"t-{n}": f"Where is parcel {n}?" for n in range(5)}


def killed(step: int, *arguments: object) -> int:
    """Run a command that dies before it sends this record, and return its exit status."""
    command = [sys.executable, "-m", "tests.chaos.killed_command", str(step), *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


def test_a_killed_load_and_a_killed_forget_are_gone_on_with(
    broker: Broker, tmp_path: Path, hedgerow: Hedgerow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_memory, "open_embedder", open_letters)
    tier = {"base_url": "http://127.0.0.1:1/v1", "model": "gpt-4o-mini"}
    topics = {"prefix": f"killed-{os.urandom(4).hex()}.", "partitions": 2}
    settings = {"broker": {"bootstrap": broker.bootstrap}, "topics": topics, "labels": ["a", "b"], "memory": {}}
    config, file = tmp_path / "hedgerow.yaml", tmp_path / "rows.jsonl"
    config.write_text(json.dumps(settings | {"tiers": {"cheap": tier, "big": tier}}))
    rows = [{"ticket_id": name, "text": text, "label": "a"} for name, text in TEXTS.items()]
    file.write_text("\n".join(map(json.dumps, rows)))
    hedgerow("topics", "create", "-c", config)

    def known() -> dict[str, str]:
        rows = hedgerow("memory", "list", "--json", "-c", config).rows
        assert hedgerow("memory", "stats", "--json", "-c", config).json["invalid"] == 0
        return {row["example_id"]: row["text"] for row in rows}

    # Before the last record of the second step: the first is acknowledged, the second is on its way.
    assert killed(3, "memory", "load", file, "--by", "ada", "-c", config) == -signal.SIGKILL
    there = known()
    assert {"t-0", "t-1"} <= there.keys() < TEXTS.keys()
    assert there.items() <= TEXTS.items()
    said = hedgerow("memory", "load", file, "--by", "ada", "--json", "-c", config)
    assert (said.json["added"], said.json["there_already"]) == (len(TEXTS) - len(there), len(there))
    assert known() == TEXTS

    assert killed(1, "memory", "forget", "t-0", "t-1", "--by", "ada", "-c", config) == -signal.SIGKILL
    assert known().keys() >= TEXTS.keys() - {"t-0"}
    hedgerow("memory", "forget", "t-0", "t-1", "--by", "ada", "-c", config)
    assert known().keys() == TEXTS.keys() - {"t-0", "t-1"}
