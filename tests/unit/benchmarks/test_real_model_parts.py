"""What the benchmark of the memory computes without a language model."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from benchmarks.real_model.novelty import Novelties, unknown_intents
from benchmarks.real_model.pictures import draw_novelty
from benchmarks.real_model.tfidf import TfIdf


async def test_tf_idf_vectors_are_near_for_shared_words_and_zero_without_a_known_one() -> None:
    embedder = TfIdf(["money back please", "where is my parcel", "close my account"])
    money, parcel, unknown = await embedder.embed(["my money back", "parcel where", "xyzzy"])
    assert np.linalg.norm(money) == pytest.approx(1)
    assert len(money) == embedder.dimensions
    assert not unknown.any()
    near = await embedder.embed(["money back please"])
    assert money @ near[0] > parcel @ near[0]


async def test_every_intent_is_out_of_scope_once() -> None:
    rows = [
        (f"{'abcdefghijklmn'[intent] * 3} word{number}", f"intent-{intent}")
        for intent in range(14)
        for number in range(4)
    ]
    found = await unknown_intents(rows, rows, TfIdf([text for text, _ in rows]), 0)
    assert (len(found.outside), len(found.inside)) == (len(rows), 6 * len(rows))
    assert found.area > 0.6


def test_what_novelty_catches_is_counted_above_what_is_given_up(tmp_path: Path) -> None:
    inside, outside = np.linspace(0, 0.5, 101), np.array([0.4, 0.6, 0.7, 0.8])
    found = Novelties("x", inside, outside)
    assert found.caught(0.05) == 0.75
    assert 0.9 < found.area < 1
    draw_novelty([found], tmp_path / "novelty.svg")
    assert ET.parse(tmp_path / "novelty.svg").getroot().tag.endswith("svg")
