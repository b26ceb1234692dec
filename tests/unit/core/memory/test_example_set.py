"""Which examples there are after they came, were replaced and were forgotten."""

from __future__ import annotations

import random
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.memory.example import Example
from streams.core.memory.example_set import ExampleSet
from streams.core.memory.index import ExactIndex, Vectors

DIMENSIONS = 6


def vector(name: str) -> Vectors:
    row = np.random.default_rng(zlib.crc32(name.encode())).normal(size=(1, DIMENSIONS)).astype(np.float32)
    return row / np.linalg.norm(row)


def example(name: str, label: str | None = "refund") -> Example:
    return Example(name, name, f"text of {name}", label)


def put(known: ExampleSet, *examples: Example, at_ms: int = 0) -> int:
    vectors = np.concatenate([vector(one.text) for one in examples])
    return known.put(examples, vectors, [at_ms] * len(examples))


def nearest(known: ExampleSet, text: str) -> Example:
    [(near, vectors)] = known.nearest(vector(text), 1)
    assert vectors[0] @ vector(text)[0] == pytest.approx(near[0].similarity, abs=1e-6)
    return near[0].example


def test_an_example_is_found_replaced_and_forgotten() -> None:
    known = ExampleSet(ExactIndex())
    put(known, example("a"), example("b", None))
    assert nearest(known, "text of a") == known.get("a") == example("a")
    put(known, Example("a", None, "text of z", "account"))
    assert nearest(known, "text of z").label == "account"
    assert known.counts == {"account": 1, None: 1}
    assert known.forget("a")
    assert not known.forget("a")
    assert (len(known), known.get("a")) == (1, None)
    assert nearest(known, "text of z").id == "b"
    assert known.forget("b")
    assert known.nearest(vector("text"), 3)[0][0] == []


def test_of_one_id_that_comes_twice_at_once_the_last_counts() -> None:
    known = ExampleSet(ExactIndex())
    put(known, example("a"), example("b"), example("a", "account"))
    assert known.counts == {"account": 1, "refund": 1}


def test_beyond_its_limit_the_oldest_of_the_most_crowded_is_dropped() -> None:
    known = ExampleSet(ExactIndex(), limit=4)
    for age, name in enumerate(("r-1", "r-2", "r-3")):
        put(known, example(name), at_ms=100 - age)
    assert put(known, example("a-1", "account"), at_ms=1) == 0
    assert put(known, example("a-2", "account"), at_ms=2) == 1
    assert known.get("r-3") is None, "labelled before the other two, although it came after them"
    assert put(known, example("n", None), at_ms=3) == 1
    assert known.counts == {"refund": 1, "account": 2, None: 1}


def test_which_ones_are_left_hardly_depends_on_the_order() -> None:
    rows = [(example(f"{label}-{age}", label), age) for label in ("a", "b", "c") for age in range(40)]
    kept = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        known = ExampleSet(ExactIndex(), limit=30)
        for one, age in rows:
            put(known, one, at_ms=age)
        kept.append({one.id for one, _ in rows if known.get(one.id)})
    assert kept[0] == kept[1] == kept[2] == {f"{label}-{age}" for label in ("a", "b", "c") for age in range(30, 40)}


def test_of_equally_near_and_equally_old_ones_every_worker_has_the_same_in_the_same_order() -> None:
    rows = [Example(f"{text}-{number}", None, text, "refund") for text in ("a", "b") for number in range(40)]
    found = []
    for seed in range(3):
        random.Random(seed).shuffle(rows)
        known = ExampleSet(ExactIndex(), limit=30)
        for one in rows:
            known.put([one], vector(one.text), [0])
        [(near, _)] = known.nearest(vector("a"), 8)
        found.append([one.example.id for one in near])
    assert found[0] == found[1] == found[2]
    assert len(set(found[0])) == 8


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y", None]), st.booleans()), max_size=60),
    st.sampled_from([None, 3]),
)
def test_it_equals_a_plain_dict(steps: list[tuple[str, str | None, bool]], limit: int | None) -> None:
    known, plain = ExampleSet(ExactIndex(), limit), dict[str, Example]()
    for name, label, gone in steps:
        if gone:
            assert known.forget(name) == (plain.pop(name, None) is not None)
        else:
            one = Example(name, None, f"{name}{label}", label)
            known.put([one], vector(one.text))
            plain[name] = one
            plain = {key: value for key, value in plain.items() if known.get(key)}
            assert name in plain or limit
        assert {key: known.get(key) for key in plain} == plain
        assert known.counts == Counter(one.label for one in plain.values())
        assert len(known) == len(plain) <= (limit or 8)
    for one in plain.values():
        assert nearest(known, one.text).text == one.text
