"""The bundled tickets: what they promise, and that their parts are dealt by a rule and not by hand."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import combinations, groupby
from pathlib import Path
from typing import Any

import pytest

from streams.sandbox import tickets
from streams.sandbox.tickets import CALIBRATION, DEMO, TRAIN

LABELS = frozenset({"refund", "billing", "shipping", "account", "technical", "cancellation"})
SLICES = frozenset({"plain", "ambiguous", "long", "typos", "not_english", "out_of_scope"})
PARTS = {"train": TRAIN, "calibration": CALIBRATION, "demo": DEMO}
NEAR_DUPLICATE = 0.6
#: Written for training, before there were other parts; every later ticket was dealt.
FIRST = 240
#: Words that all but the tersest English message has one of.
COMMON = frozenset(
    "a an and are at be but can do does for from have how i i'd i'm i've in is it it's me my no not of off on or our "
    "please that the this to us was we what when where which who why with you your".split()
)

Row = dict[str, Any]


def read(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tokens(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def near_duplicates(texts: list[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs whose word sets have a Jaccard similarity of the limit or more."""
    for (one, left), (other, right) in combinations([(text, tokens(text)) for text in texts], 2):
        if len(left & right) >= NEAR_DUPLICATE * len(left | right):
            yield one, other


def part_of(row: Row) -> str:
    """The part that the README's rule deals a ticket to."""
    place = int.from_bytes(hashlib.sha256(f"1 {row['text']}".encode()).digest()[:8], "big") / 2**64
    if "label" not in row:
        return "calibration" if place < 0.5 else "demo"
    return "train" if place < 0.4 else "calibration" if place < 0.75 else "demo"


@pytest.fixture(scope="module")
def parts() -> dict[str, list[Row]]:
    return {name: read(path) for name, path in PARTS.items()}


@pytest.fixture(scope="module")
def rows(parts: dict[str, list[Row]]) -> list[Row]:
    return [row for part in parts.values() for row in part]


@pytest.fixture(scope="module")
def dealt(parts: dict[str, list[Row]]) -> list[tuple[str, Row]]:
    return [(name, row) for name, part in parts.items() for row in (part[FIRST:] if name == "train" else part)]


def test_the_package_exposes_three_paths_and_nothing_else() -> None:
    assert tickets.__all__ == ["CALIBRATION", "DEMO", "TRAIN"]


@pytest.mark.parametrize("path", PARTS.values(), ids=PARTS)
def test_every_line_is_readable_utf8_json(path: Path) -> None:
    raw = path.read_bytes()
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in raw
    assert raw.endswith(b"\n")
    assert "\\u" not in raw.decode("utf-8"), "text is written as UTF-8, not as escapes"
    for row in read(path):
        assert row["text"] == row["text"].strip() != ""


def test_ids_are_unique_and_in_order(parts: dict[str, list[Row]]) -> None:
    for name, prefix in (("train", "tr"), ("calibration", "c"), ("demo", "t")):
        ids = [row["ticket_id"] for row in parts[name]]
        assert ids == [f"{prefix}-{number:04d}" for number in range(1, len(ids) + 1)]


def test_rows_carry_a_known_label_unless_out_of_scope(dealt: list[tuple[str, Row]]) -> None:
    for _, row in dealt:
        if row["slice"] == "out_of_scope":
            assert row.keys() == {"ticket_id", "text", "slice"}
        else:
            assert row.keys() == {"ticket_id", "text", "label", "slice"}
            assert row["label"] in LABELS
            assert row["slice"] in SLICES


def test_the_first_rows_of_train_are_forty_for_each_label(parts: dict[str, list[Row]]) -> None:
    first = parts["train"][:FIRST]
    assert Counter(row["label"] for row in first) == dict.fromkeys(LABELS, 40)
    assert all(row.keys() == {"ticket_id", "text", "label"} for row in first)


def test_every_dealt_row_is_in_the_part_that_the_rule_says(dealt: list[tuple[str, Row]]) -> None:
    assert [row["ticket_id"] for name, row in dealt if part_of(row) != name] == []


@pytest.mark.parametrize(("part", "least"), [("train", 130), ("calibration", 80), ("demo", 60)])
def test_every_part_has_enough_of_every_label(parts: dict[str, list[Row]], part: str, least: int) -> None:
    counts = Counter(row["label"] for row in parts[part] if "label" in row)
    assert counts.keys() == LABELS
    assert min(counts.values()) >= least


@pytest.mark.parametrize("of_slice", ["plain", "ambiguous", "long", "typos", "not_english"])
def test_every_labelled_slice_holds_every_label(dealt: list[tuple[str, Row]], of_slice: str) -> None:
    counts = Counter(row["label"] for _, row in dealt if row["slice"] == of_slice)
    assert counts.keys() == LABELS
    assert min(counts.values()) >= 3


def test_a_twentieth_of_what_is_streamed_is_ambiguous_and_another_out_of_scope(parts: dict[str, list[Row]]) -> None:
    for name in ("calibration", "demo"):
        shares = Counter(row["slice"] for row in parts[name])
        assert 0.05 <= shares["ambiguous"] / len(parts[name]) <= 0.15
        assert 0.05 <= shares["out_of_scope"] / len(parts[name]) <= 0.15


def test_long_means_over_sixty_words(dealt: list[tuple[str, Row]]) -> None:
    for _, row in dealt:
        if row["slice"] in {"long", "plain", "ambiguous", "typos"}:
            assert (len(row["text"].split()) > 60) == (row["slice"] == "long"), row["ticket_id"]


@pytest.mark.parametrize("path", PARTS.values(), ids=PARTS)
def test_labels_come_in_mixed_order(path: Path) -> None:
    longest_run = max(len(list(run)) for _, run in groupby(row.get("label") for row in read(path)))
    assert longest_run <= 8


def test_no_two_tickets_are_near_duplicates(rows: list[Row]) -> None:
    assert list(near_duplicates([row["text"] for row in rows])) == []


def test_a_reworded_copy_counts_as_a_near_duplicate() -> None:
    left, right = "Where is my blue parcel, please?", "where is my parcel please"
    assert list(near_duplicates([left, "It rains.", right])) == [(left, right)]


def test_no_opening_is_a_template(rows: list[Row]) -> None:
    openings = Counter(" ".join(row["text"].lower().split()[:5]) for row in rows)
    assert max(openings.values()) <= 0.01 * len(rows), openings.most_common(3)


def test_labelled_tickets_read_as_english_messages(dealt: list[tuple[str, Row]]) -> None:
    texts = [row["text"] for _, row in dealt if row.get("slice") in {"plain", "ambiguous", "long"}]
    assert all(re.search(r"  |\s[,.?]|\t", text) is None for text in texts)
    assert all(sum(c.isalpha() or c.isspace() for c in text) >= 0.7 * len(text) for text in texts)
    strange = [text for text in texts if not COMMON & set(re.findall(r"[\w']+", text.lower()))]
    assert len(strange) <= 0.02 * len(texts), strange
    lengths = sorted(len(text.split()) for text in texts)
    assert lengths[len(lengths) // 10] <= 10 < 20 <= lengths[-len(lengths) // 10], "short and long ones are mixed"


@pytest.mark.parametrize("path", PARTS.values(), ids=PARTS)
def test_mail_addresses_are_reserved_ones_and_no_number_is_as_long_as_a_card(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert all(domain.rstrip(".") == "example.com" for domain in re.findall(r"@([\w.-]+)", text))
    assert re.search(r"(?:\d[ -]?){13,}", text) is None
