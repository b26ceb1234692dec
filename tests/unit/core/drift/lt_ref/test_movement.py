"""Step or ramp, and when it began."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.drift.judgement import Kind
from streams.core.drift.lt_ref.movement import name_movement

QUIET = np.random.default_rng(1).normal(size=(200, 4))
WAY = np.array([0.5, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("rows", [3, 10, 40])
def test_a_step_is_a_change_that_began_where_it_did(rows: int) -> None:
    recent = np.random.default_rng(2).normal(size=(96, 4))
    recent[-rows:] += 8.0 * WAY
    movement = name_movement(recent, WAY, QUIET)
    assert (movement.kind, movement.rows) == (Kind.CHANGE, rows)


@pytest.mark.parametrize("rows", [20, 60])
def test_a_ramp_is_a_drift(rows: int) -> None:
    recent = np.random.default_rng(3).normal(size=(96, 4))
    recent[-rows:] += np.linspace(0.0, 10.0, rows)[:, None] * WAY
    movement = name_movement(recent, WAY, QUIET)
    assert movement.kind is Kind.DRIFT
    assert movement.rows == pytest.approx(rows, abs=8)


def test_three_rows_are_too_few_to_call_a_drift() -> None:
    recent = np.zeros((3, 4))
    recent[:] = np.array([1.0, 2.0, 3.0])[:, None] * WAY
    assert name_movement(recent, WAY, QUIET).kind is Kind.CHANGE


def test_without_any_noise_a_step_is_still_found() -> None:
    recent = np.zeros((30, 4))
    recent[-5:] = WAY
    movement = name_movement(recent, WAY, np.zeros((100, 4)))
    assert (movement.kind, movement.rows) == (Kind.CHANGE, 5)
