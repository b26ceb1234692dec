"""kill -9 of a redrive between its steps: the next one finishes what was begun, and nothing is sent twice."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Hedgerow
from tests.support.letters import LetterBox

MODES = [
    "embedded at_least_once",
    pytest.param("kafka at_least_once", marks=pytest.mark.kafka),
    pytest.param("kafka exactly_once", marks=pytest.mark.kafka),
]
#: Three calls to the broker for a letter, and the end of the command.
STEPS = range(4)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_sent_twice_and_every_letter_once(
    mode: str, tmp_path: Path, request: pytest.FixtureRequest, hedgerow: Hedgerow
) -> None:
    broker, _, delivery = mode.partition(" ")
    box = LetterBox(request.getfixturevalue(f"{broker}_broker"), tmp_path, delivery)  # type: ignore[arg-type]
    letters = {step: box.put(b"the same bytes", b"the same key") for step in STEPS}
    states = []
    for step, letter in letters.items():
        assert killed(step, letter, box) == -signal.SIGKILL
        rows = hedgerow("dead-letters", "list", "--closed", "--json", "-c", box.config).rows
        states.append(next(row["state"] for row in rows if row["letter"] == letter))
    if delivery == "exactly_once":
        assert states == ["open", "open", "open", "redriven"]
    else:
        assert states == ["open", "redriving", "redriving", "redriven"]

    said = hedgerow("dead-letters", "redrive", "--all", "-c", box.config, "--json")
    assert said.code == 0, said.err
    assert said.json["letters"] == [letters[step] for step in STEPS if step != 3]
    assert len(box.redriven()) == len({record.headers for record in box.redriven()}) == len(letters)
    assert hedgerow("dead-letters", "list", "--json", "-c", box.config).rows == []


def killed(step: int, letter: str, box: LetterBox) -> int:
    """Run a redrive that dies before this step, and return its exit status."""
    command = [sys.executable, "-m", "tests.chaos.killed_command", str(step), "dead-letters", "redrive", letter]
    return subprocess.run(
        [*command, "-c", box.config, "--by", "ada"], check=False, capture_output=True, timeout=60
    ).returncode
