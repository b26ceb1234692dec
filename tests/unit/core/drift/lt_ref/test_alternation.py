"""When a return is one, when it is two models that alternate, and when that is known already."""

from __future__ import annotations

from streams.core.drift.judgement import Kind
from streams.core.drift.lt_ref.alternation import STAYED, Alternation


def swapped(*returns: tuple[int, bool]) -> tuple[Alternation, list[Kind | None]]:
    """A change at row 0, then a return at each of these rows: whether it is to the model of just before."""
    alternation, found, row = Alternation(), [], 0
    alternation.left(0)
    for at, is_last in returns:
        for _ in range(at - row):
            alternation.wait()
        found.append(alternation.returned(at, is_last))
        row = at
    return alternation, found


def test_the_second_return_is_told_once_with_the_times_of_the_swaps() -> None:
    alternation, found = swapped((40, True), (80, True), (120, True), (160, True))
    assert found == [Kind.RETURNED, Kind.ALTERNATING, None, None]
    assert alternation.swaps == (0, 40, 80)


def test_a_return_to_a_model_of_long_before_is_no_alternation() -> None:
    assert swapped((40, True), (80, False), (120, False))[1] == [Kind.RETURNED] * 3


def test_a_new_model_ends_an_alternation() -> None:
    alternation, _ = swapped((40, True), (80, True), (120, True))
    alternation.left(150)
    assert alternation.returned(190, is_last=True) is Kind.RETURNED
    assert alternation.swaps == (150, 190)


def test_a_model_that_stayed_long_ends_an_alternation() -> None:
    late = 121 + STAYED
    alternation, found = swapped((40, True), (80, True), (120, True), (late, True), (late + 40, True))
    assert found[3:] == [Kind.RETURNED, Kind.ALTERNATING]
    assert alternation.swaps == (late, late + 40)
