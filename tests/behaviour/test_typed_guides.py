"""What the guides on dead letters and re-runs show is typed as it stands, and works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from streams.sandbox.brokers.embedded import EmbeddedBroker
from tests.support.commands import Hedgerow
from tests.support.letters import LetterBox
from tests.support.messages import ticket

GUIDES = Path(__file__).parents[2] / "docs" / "howto"


def shown(guide: str) -> list[str]:
    """Return the commands of a guide."""
    fences = re.findall(r"^```sh\n(.*?)^```", (GUIDES / guide).read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line for fence in fences for line in fence.splitlines()]


@pytest.mark.parametrize("guide", ["dead-letters.md", "rerun.md"])
def test_every_command_of_a_guide_ends_well(
    guide: str, embedded_broker: EmbeddedBroker, tmp_path: Path, hedgerow: Hedgerow
) -> None:
    box = LetterBox(embedded_broker, tmp_path)
    box.put(b"not JSON")
    letter = box.put(ticket("T-17").encode(), b"T-17", reason="retries_exhausted")
    lines = shown(guide)
    assert len(lines) >= 5
    for line in lines:
        program, *arguments = shlex.split(line.replace("tickets/3/17", letter))
        assert program == "hedgerow"
        said = hedgerow(*arguments, "-c", box.config)
        assert said.code == 0, (line, said)
