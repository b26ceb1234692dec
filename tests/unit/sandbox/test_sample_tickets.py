from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, product
from pathlib import Path
from typing import Any

import pytest

from streams.sandbox import tickets
from streams.sandbox.tickets import DEMO, TRAIN

LABELS = frozenset({"refund", "billing", "shipping", "account", "technical", "cancellation"})
SLICES = {"plain": 59, "ambiguous": 25, "long": 12, "typos": 12, "out_of_scope": 12}
NEAR_DUPLICATE = 0.8


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def near_duplicates(left: list[str], right: list[str]) -> Iterator[tuple[str, str]]:
    for one, other in product([(text, tokens(text)) for text in left], [(text, tokens(text)) for text in right]):
        if jaccard(one[1], other[1]) >= NEAR_DUPLICATE:
            yield one[0], other[0]


@pytest.fixture(scope="module")
def train() -> list[dict[str, Any]]:
    return read(TRAIN)


@pytest.fixture(scope="module")
def demo() -> list[dict[str, Any]]:
    return read(DEMO)


def test_the_package_exposes_two_paths_and_nothing_else() -> None:
    assert tickets.__all__ == ["DEMO", "TRAIN"]


@pytest.mark.parametrize("path", [TRAIN, DEMO], ids=["train", "demo"])
def test_every_line_is_readable_utf8_json(path: Path) -> None:
    raw = path.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    assert "\\u" not in raw.decode("utf-8"), "text is written as UTF-8, not as escapes"
    for row in read(path):
        assert row["text"] == row["text"].strip() != ""


def test_train_has_forty_tickets_for_each_label(train: list[dict[str, Any]]) -> None:
    assert Counter(row["label"] for row in train) == dict.fromkeys(LABELS, 40)
    assert all(row.keys() == {"ticket_id", "text", "label"} for row in train)


def test_demo_has_the_promised_slices(demo: list[dict[str, Any]]) -> None:
    assert Counter(row["slice"] for row in demo) == SLICES


def test_demo_rows_carry_a_known_label_unless_out_of_scope(demo: list[dict[str, Any]]) -> None:
    for row in demo:
        if row["slice"] == "out_of_scope":
            assert row.keys() == {"ticket_id", "text", "slice"}
        else:
            assert row.keys() == {"ticket_id", "text", "label", "slice"}
            assert row["label"] in LABELS


@pytest.mark.parametrize("of_slice", ["plain", "ambiguous", "long", "typos"])
def test_every_labelled_slice_of_demo_holds_every_label(demo: list[dict[str, Any]], of_slice: str) -> None:
    assert {row["label"] for row in demo if row["slice"] == of_slice} == LABELS


def test_long_means_over_sixty_words(demo: list[dict[str, Any]]) -> None:
    for row in demo:
        assert (len(row["text"].split()) > 60) == (row["slice"] == "long"), row["ticket_id"]


def test_ids_are_unique_and_in_order(train: list[dict[str, Any]], demo: list[dict[str, Any]]) -> None:
    assert [row["ticket_id"] for row in train] == [f"tr-{number:04d}" for number in range(1, 241)]
    assert [row["ticket_id"] for row in demo] == [f"t-{number:04d}" for number in range(1, 121)]


@pytest.mark.parametrize("path", [TRAIN, DEMO], ids=["train", "demo"])
def test_labels_come_in_mixed_order(path: Path) -> None:
    longest_run = max(len(list(run)) for _, run in groupby(row.get("label") for row in read(path)))
    assert longest_run <= 6


@pytest.mark.parametrize("path", [TRAIN, DEMO], ids=["train", "demo"])
def test_no_text_appears_twice(path: Path) -> None:
    counts = Counter(" ".join(row["text"].lower().split()) for row in read(path))
    assert [text for text, count in counts.items() if count > 1] == []


def test_demo_holds_nothing_that_train_has_taught(train: list[dict[str, Any]], demo: list[dict[str, Any]]) -> None:
    assert list(near_duplicates([row["text"] for row in train], [row["text"] for row in demo])) == []


def test_a_reworded_copy_counts_as_a_near_duplicate() -> None:
    left, right = "Where is my blue parcel, please?", "where is my parcel please"
    assert list(near_duplicates([left], [right])) == [(left, right)]


@pytest.mark.parametrize("path", [TRAIN, DEMO], ids=["train", "demo"])
def test_mail_addresses_are_reserved_ones_and_no_number_is_as_long_as_a_card(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert all(domain.rstrip(".") == "example.com" for domain in re.findall(r"@([\w.-]+)", text))
    assert re.search(r"(?:\d[ -]?){13,}", text) is None
