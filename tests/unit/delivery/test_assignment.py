"""An assignment is replaced whole: which object follows which, and what goes with it."""

from __future__ import annotations

import dataclasses

import pytest

from streams.delivery.assignment import Assignment, Phase
from streams.delivery.ledger import Commit, Ledger, encode_finished
from tests.support.records import P0, P1


def test_it_is_restored_from_what_the_last_owners_committed() -> None:
    commit = Commit(5, encode_finished(5, {7}))
    assignment = Assignment.restored([P0, P1], {P0: commit})
    assert assignment.phase is Phase.STANDS
    assert assignment.committed == {P0: commit}
    assert [assignment.ledgers[place].position for place in (P0, P1)] == [5, None]
    assert assignment.ledgers[P0].take(range(5, 9)) == [5, 6, 8]
    assert assignment.ledger(("tickets", 2)) is None


def test_it_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Assignment({}).phase = Phase.LOST  # type: ignore[misc]


def test_two_are_the_same_only_if_they_are_one_object() -> None:
    assert Assignment.nothing() != Assignment.nothing()


@pytest.mark.parametrize("phase", [Phase.STANDS, Phase.LEAVING])
def test_what_is_left_of_it_while_it_is_given_back_counts_until_the_end(phase: Phase) -> None:
    before = Assignment({P0: Ledger(3)}, {P0: Commit(3, "")}, {P0}, phase)
    leaving = before.leaving()
    assert leaving is not before
    assert leaving.phase is Phase.LEAVING
    assert leaving.ledgers is before.ledgers
    assert leaving.committed is before.committed
    assert leaving.caught_up is before.caught_up


@pytest.mark.parametrize("phase", [Phase.NONE, Phase.LOST])
def test_of_one_without_ledgers_nothing_is_left(phase: Phase) -> None:
    before = Assignment.nothing(phase)
    leaving = before.leaving()
    assert leaving is not before
    assert (leaving.phase, leaving.ledgers) == (Phase.NONE, {})
