"""What a command of the CLI says and how it ends; the fixture `hedgerow` runs one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Said:
    """What a command printed, and its exit status."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert self.out, f"exit status {self.code}: {self.err}"
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        # Not splitlines: JSON text may hold the other line ends as they are.
        return [json.loads(line) for line in self.out.split("\n") if line]


Hedgerow = Callable[..., Said]
