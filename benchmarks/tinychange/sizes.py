"""How much is asked of each model and how many tests are drawn from it, in the small setting and in the full one."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, replace
from typing import Any

_DRAWN_LATER = (
    "tests",
    "resamples",
    "references",
    "window",
    "reference",
    "met_samples",
    "answers",
    "quiet_rows",
    "added_nats",
    "second_answers",
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of everything; those of the original are larger, since null tests need two samples and a history."""

    history: int
    """Probes of the original that the reference detectors may know."""

    original_rows: int
    """Probes of the original that tests are drawn from."""

    rows: int
    """Probes of each variant."""

    prompts: int
    """MET's prompts."""

    original_samples: int
    """Completions of each prompt by the original, to draw from; ``samples`` by each variant."""

    samples: int
    tokens: int
    """Tokens of each completion."""

    questions: int
    original_readings: int
    """Distributions of each answer by the original, to draw answers from; ``readings`` by each variant."""

    readings: int
    tests: int
    """Null tests, and tests of each variant."""

    resamples: int
    """Bootstrap resamples of each interval."""

    references: int
    """Histories of 200 rows that the tests of the reference detectors are spread over."""

    quiet_rows: int
    """Rows of the unchanged model that the running detectors see, for their false alarms."""

    added_nats: tuple[float, ...]
    """Deviations of noise added to recorded logprobs, one table line each: servers less exact than the recorded one."""

    second_answers: tuple[tuple[float, float], ...] = ()
    """Shares of rows with a second answer, and how far that is from the first, nats: what a real server's serving adds."""

    k: int = 20
    window: int = 10
    """Rows on each side of a test."""

    reference: int = 200
    met_samples: int = 8
    """Completions of each prompt on each side of a test; the paper has 10."""

    answers: int = 10
    """Answers to each question on each side of a test."""

    @property
    def digest(self) -> str:
        """A short name of the numbers that recordings depend on; the others may change without a new recording."""
        asked = {name: value for name, value in self.as_dict().items() if name not in _DRAWN_LATER}
        return f"{zlib.crc32(repr(asked).encode()):08x}"

    def as_dict(self) -> dict[str, Any]:
        """Return them by name."""
        return asdict(self)


SMALL = Sizes(
    history=400, original_rows=600, rows=200, prompts=6, original_samples=32, samples=16, tokens=12, questions=40,
    original_readings=4, readings=2, tests=60, resamples=60, references=3,
    quiet_rows=1000, added_nats=(0.05,),
)  # fmt: skip

FULL = Sizes(
    history=400, original_rows=1000, rows=300, prompts=5, original_samples=24, samples=8, tokens=10, questions=30,
    original_readings=4, readings=1, tests=1000, resamples=1000, references=10, quiet_rows=10_000, added_nats=(0.02, 0.05, 0.1, 0.2),
    met_samples=6,
)  # fmt: skip

FINE = replace(
    FULL, prompts=4, tokens=8, questions=15, tests=400, resamples=200, quiet_rows=2_000, added_nats=(0.002, 0.01),
    second_answers=((0.04, 0.02),),
)  # fmt: skip
