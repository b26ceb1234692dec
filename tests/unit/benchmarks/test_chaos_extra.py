"""Where the model calls of a chaos run come from of which no result tells."""

from __future__ import annotations

from typing import Any

from benchmarks.chaos.extra import Extra
from tests.support.messages import attempt, call, classification, routed, ticket


def stats(requests: int, answered: int, abandoned: int, **faults: int) -> dict[str, Any]:
    return {
        "requests": requests,
        "answered": answered,
        "models": {"cheap": {"abandoned": abandoned}},
        "faults": faults,
    }


def test_every_extra_call_has_one_cause() -> None:
    extra = Extra()
    # Of 20 the server refused 2; 12 it answered, 5 were given up by their clients, and 1 was in progress at its end.
    extra.leave(stats(20, 12, 5, rate_limit=1, cut=1))
    counts = call(attempts=(attempt(outcome="timeout", at_ms=1), attempt(at_ms=2)))
    redone = call(attempts=(attempt(at_ms=3),))
    for each in (redone, counts, counts):
        extra.see(classification(ticket=ticket(), call=each))
    extra.see(routed(calls=(counts,)))
    found = extra.by_cause(recorded=1, starts=2)
    assert found == {
        "handed_on_twice": 1,
        "in_flight": 4,
        "late": 1,
        "models_cut_off": 1,
        "start_checks": 4,
        "answer_lost": 6,
    }
    assert sum(found.values()) == extra.charged - 1
