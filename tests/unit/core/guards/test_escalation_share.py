"""The share of escalations, watched on both sides."""

from __future__ import annotations

import random

import pytest

from streams.core.guards import AlertKind, Finding
from streams.core.guards.escalation_share import ShareWatch

WINDOW = 200


class Watched:
    def __init__(self) -> None:
        self.watch = ShareWatch(WINDOW, 3600.0)
        self.now = 0.0
        self.chance = random.Random(11)
        self.said: list[Finding] = []

    def see(self, share: float, count: int) -> list[AlertKind]:
        before = len(self.said)
        for _ in range(count):
            self.now += 0.1
            cause = "high_entropy" if self.chance.random() < share else None
            self.said += self.watch.push(cause, self.now)
        return [finding.kind for finding in self.said[before:]]


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_window_with_none_where_the_history_says_ten_percent(watched: Watched) -> None:
    assert watched.see(0.10, 2000) == []
    assert watched.see(0.0, WINDOW + WINDOW // 4) == [AlertKind.ESCALATION_SILENCE]
    details = watched.said[-1].details
    assert details["escalated"] == 0
    assert 0.07 < details["earlier_share"] < 0.13


def test_a_flood_within_one_window(watched: Watched) -> None:
    watched.see(0.10, 2000)
    assert watched.see(0.6, WINDOW) == [AlertKind.ESCALATION_FLOOD]
    assert watched.said[-1].details["causes"].keys() == {"high_entropy"}


@pytest.mark.parametrize(("share", "kind"), [(0.0, AlertKind.ESCALATION_SILENCE), (0.9, AlertKind.ESCALATION_FLOOD)])
def test_is_said_once_an_hour_does_not_become_normal_and_is_over_when_it_is(
    watched: Watched, share: float, kind: AlertKind
) -> None:
    watched.see(0.10, 2000)
    assert watched.see(share, 20_000) == [kind]  # half an hour
    assert watched.see(share, 20_000) == [kind]
    assert watched.see(0.10, 400) == [AlertKind.RECOVERED]
    assert watched.said[-1].details["was"] == [kind]


def test_a_rare_escalation_that_stops_is_noticed_too_only_later(watched: Watched) -> None:
    assert watched.see(0.02, 6000) == []
    assert watched.see(0.0, 300) == []  # one window says nothing at 2 %
    assert watched.see(0.0, 1500) == [AlertKind.ESCALATION_SILENCE]
    assert watched.said[-1].details["since_last"] > WINDOW


def test_too_early_to_judge(watched: Watched) -> None:
    assert watched.see(0.5, WINDOW) == []
    assert watched.see(0.0, WINDOW - 1) == []


@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_no_alarm_while_nothing_changes(watched: Watched, share: float) -> None:
    assert watched.see(share, 30_000) == []


def test_a_few_more_are_no_flood(watched: Watched) -> None:
    watched.see(0.10, 3000)
    assert watched.see(0.13, 3000) == []
