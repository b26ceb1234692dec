"""Whole response bodies and what a careful reader makes of them.

``tests/fixtures/answers.jsonl`` was written from how models and servers answer, apart from the code that reads them;
``expect`` holds what must come out (``decision_not``: never this). The bodies after public bug reports are read where they
are present.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from schemas.signal import Scored
from streams.core.policy.policy import Policy, decide_cheap
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score

OURS = Path(__file__).parents[3] / "fixtures" / "answers.jsonl"
REPORTED = Path(__file__).parents[5] / "shared" / "data" / "public_cases" / "bodies.jsonl"


def cases(path: Path) -> list[Any]:
    if not path.is_file():
        return [pytest.param({}, marks=pytest.mark.skip(reason=f"not there: {path.name} of the public cases"))]
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [pytest.param(row, id=row["id"]) for row in rows]


@pytest.mark.parametrize("case", [*cases(OURS), *cases(REPORTED)])
def test_a_body_is_read_as_expected(case: dict[str, Any]) -> None:
    reading = score(case["response"], LabelSet(case["labels"]))
    signal, expect = reading.signal, dict(case["expect"])
    decision = decide_cheap(Policy(), "t", reading)
    confidence = signal.confidence if isinstance(signal, Scored) else math.nan
    expect.pop("soft", None)
    least, most = expect.pop("confidence_min", None), expect.pop("confidence_max", None)
    assert least is None or confidence >= least
    assert most is None or confidence <= most
    assert decision.action != expect.pop("decision_not", None)
    found = {
        "status": signal.status,
        "label": signal.label,
        "reason": getattr(signal, "reason", None),
        "decision": decision.action,
        "model": reading.model,
    }
    assert {name: found[name] for name in expect} == expect
