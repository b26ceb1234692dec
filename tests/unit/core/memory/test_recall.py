"""What the examples near a ticket say of it."""

from __future__ import annotations

import numpy as np
import pytest

from schemas import ShownExample
from streams.core.memory.example import Example
from streams.core.memory.index import Vectors
from streams.core.memory.recall import NEIGHBOURS, NearExample, Recalled, excerpt, recall, recalled_before
from tests.support.messages import call


def near(*examples: tuple[str, str | None, float]) -> list[NearExample]:
    """Neighbours by (id, label, similarity); each comes from a ticket of its own id."""
    return [NearExample(Example(name, name, f"text of {name}", label), score) for name, label, score in examples]


def apart(count: int) -> Vectors:
    """Vectors of which none resembles another."""
    return np.eye(count, dtype=np.float32)


def shown(recalled: Recalled) -> list[str]:
    return [one.example.id for one in recalled.shown]


def test_the_nearest_example_stands_last() -> None:
    found = recall(near(("a", "refund", 0.9), ("b", "refund", 0.8), ("c", "account", 0.7)), apart(3), "t", 2)
    assert shown(found) == ["b", "a"]


def test_novelty_is_one_less_the_mean_similarity_to_the_nearest() -> None:
    found = recall(near(("a", "refund", 0.9), ("b", "refund", 0.5)), apart(2), "t", 0)
    assert found.novelty == pytest.approx(0.3)
    many = near(*((f"e{number}", "refund", 0.8) for number in range(NEIGHBOURS)), ("far", "refund", 0.0))
    assert recall(many, apart(NEIGHBOURS + 1), "t", 0).novelty == pytest.approx(0.2)


def test_the_label_of_most_neighbours_wins_and_of_equals_that_of_the_nearer() -> None:
    found = recall(near(("a", "refund", 0.9), ("b", "account", 0.8), ("c", "account", 0.7)), apart(3), "t", 0)
    assert (found.neighbour_label, found.neighbour_share) == ("account", pytest.approx(2 / 3))
    tied = recall(near(("a", "refund", 0.9), ("b", "account", 0.8)), apart(2), "t", 0)
    assert (tied.neighbour_label, tied.neighbour_share) == ("refund", 0.5)


def test_an_example_of_the_same_ticket_counts_for_nothing() -> None:
    own = near(("t", "refund", 1.0), ("b", "account", 0.5))
    found = recall(own, apart(2), "t", 8)
    assert (found.novelty, found.neighbour_label, shown(found)) == (0.5, "account", ["b"])


def test_an_equal_text_of_another_ticket_may_be_shown() -> None:
    assert shown(recall(near(("other", "refund", 1.0)), apart(1), "t", 8)) == ["other"]


def test_of_near_duplicates_the_nearest_is_shown_alone() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    found = recall(near(("a", "refund", 0.9), ("again", "refund", 0.9), ("c", "refund", 0.2)), vectors, "t", 2)
    assert shown(found) == ["c", "a"]


def test_examples_out_of_scope_are_not_shown_make_nothing_familiar_and_lower_the_share() -> None:
    found = recall(near(("a", None, 0.9), ("b", "refund", 0.5)), apart(2), "t", 8)
    assert (found.novelty, found.neighbour_label, found.neighbour_share) == (0.5, "refund", 0.5)
    assert shown(found) == ["b"]
    alone = recall(near(("a", None, 0.9)), apart(1), "t", 8)
    assert alone == Recalled(neighbour_share=0.0, neighbours=alone.neighbours)
    assert [one.example.id for one in alone.neighbours] == ["a"], "it may still vote against an answer"


def test_neighbours_that_lie_far_apart_say_so_and_none_counts_as_its_own() -> None:
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1]], dtype=np.float32)
    found = recall(near(("a", "refund", 0.9), ("b", "refund", 0.8), ("c", "account", 0.7)), vectors, "t", 8)
    # The cosines are 0.6 (a, b), 0 (a, c) and 0.8 (b, c), and each neighbour has the two others.
    assert found.neighbour_novelty == pytest.approx(1 - 2 * (0.6 + 0 + 0.8) / 6)
    same = recall(near(("a", "refund", 0.9), ("b", "refund", 0.9)), np.ones((2, 1), dtype=np.float32), "t", 8)
    assert same.neighbour_novelty == 0.0
    assert recall(near(("a", "refund", 0.9)), apart(1), "t", 8).neighbour_novelty is None


def test_an_empty_memory_says_nothing() -> None:
    assert recall([], apart(0), "t", 8) == Recalled()


def test_rounding_makes_no_novelty_negative() -> None:
    assert recall(near(("a", "refund", 1.0000001)), apart(1), "t", 0).novelty == 0.0


def test_a_long_example_is_cut_in_the_prompt() -> None:
    assert excerpt("short") == "short"
    assert len(excerpt("x" * 10_000)) == 500
    assert excerpt("x" * 10_000).endswith("…")


def test_what_was_recalled_for_an_earlier_call_is_recalled_again_without_what_was_forgotten_since() -> None:
    known = {one.example.id: one.example for one in near(("a", "refund", 0.9), ("t", "refund", 0.8))}
    earlier = call(
        novelty=0.2,
        neighbour_label="refund",
        neighbour_share=0.75,
        neighbour_novelty=0.4,
        shown=tuple(ShownExample(id=name, similarity=0.5) for name in ("gone", "t", "a")),
    )
    found = recalled_before(earlier, "t", known.get)
    assert found == Recalled(0.2, "refund", 0.75, 0.4, shown=(NearExample(known["a"], 0.5),))
    assert recalled_before(call(), "t", known.get) is None
    outside = recalled_before(call(neighbour_share=0.0), "t", known.get)
    assert outside == Recalled(neighbour_share=0.0), "its neighbours fit no label, and that is known"
