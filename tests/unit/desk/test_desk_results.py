"""What the overview counts: results by minute, each ticket once, and what they cost."""

from __future__ import annotations

from streams.core.drift.acknowledgement import acknowledgement
from streams.desk.topics import MINUTES, Results
from tests.support.messages import call, routed

MINUTE = 60_000
NOW = 30_000_000 * MINUTE


def test_results_count_once_in_the_minute_in_which_they_were_written() -> None:
    results = Results()
    for ticket_id, by, ago in (
        ("a", "cheap", 0),
        ("b", "big", 0),
        ("b", "human", 0),
        ("c", "cheap", 5),
        ("d", "cheap", 60),
    ):
        results.take(routed(ticket_id, decided_by=by), NOW - ago * MINUTE)
    hour = results.hour(NOW)
    assert len(hour) == MINUTES
    assert hour[-1] == (NOW // MINUTE, {"cheap": 1, "big": 1})
    assert hour[-6][1] == {"cheap": 1}
    assert sum(sum(counts.values()) for _, counts in hour) == 3


def test_costs_are_those_of_the_last_hour() -> None:
    results = Results()
    for number, ago in enumerate((0, 1, 59, 60)):
        results.take(routed(f"t-{number}", calls=(call(), call("big"))), NOW - ago * MINUTE)
    spent = results.spent(NOW)
    assert spent["cheap calls"] == spent["big calls"] == 3
    assert abs(spent["big"] - 3 * 0.000016) < 1e-12


def test_what_is_remembered_is_bounded() -> None:
    results = Results()
    for minute in range(500):
        results.take(routed(f"t-{minute}"), minute * MINUTE)
    assert len(results.outcomes) == len(results.cost) == 2 * MINUTES


def test_an_acknowledgement_names_the_policy_and_who_said_it() -> None:
    alert = acknowledgement("big-probe", "policy-1", "otto", "seen", 5)
    assert (alert.source, alert.kind, alert.details["policy_id"]) == ("big-probe", "acknowledged", "policy-1")
    assert alert.summary == "big-probe: acknowledged by otto: seen"
    assert alert.alert_id != acknowledgement("big-probe", "policy-1", "otto", "seen", 6).alert_id
