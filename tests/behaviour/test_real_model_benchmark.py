"""The benchmark of the memory with a real language model, on a handful of messages."""

from __future__ import annotations

import csv
import os
import xml.etree.ElementTree as ET
from pathlib import Path

import orjson
import pytest

from benchmarks.real_model.memory import Cell, examples_of, main, recorded
from streams.sandbox.extras import missing_extra
from streams.sandbox.language_model.weights import missing_packages

if (missing := missing_packages() or missing_extra("the memory", "memory")) is not None:
    if os.environ.get("HEDGEROW_LLM") == "required":  # as .ci/run says
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing, allow_module_level=True)

WORDS = {"refund": "I want my money back for order", "shipping": "Where is the parcel with my order"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, count in (("train", 12), ("test", 3)):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["text", "category"])
            rows.writerows(
                [f"{text} {name} {number}", f"{queue}_intent"]
                for queue, text in WORDS.items()
                for number in range(count)
            )
    (folder / "queues.json").write_bytes(orjson.dumps({f"{queue}_intent": queue for queue in WORDS}))
    return folder


async def test_a_stopped_run_goes_on_and_tables_and_pictures_come_from_what_is_kept(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep, pictures = tmp_path / "keep", tmp_path / "pictures"
    asked = ["--data", str(data), "--keep", str(keep), "--models", "llm", "--sizes", "0", "8", "--examples", "2"]
    await main([*asked, "--limit", "1"])
    assert "llm-tfidf-8-2: 1 messages" in capsys.readouterr().out
    await main([*asked, "--limit", "2"])
    cells = [Cell("llm", by, size, 2) for size, by in (("0", "minilm"), ("8", "minilm"), ("8", "tfidf"))]
    kept = {cell.name: recorded(cell, keep) for cell in cells}
    assert {name: len(found) for name, found in kept.items()} == {"llm-0": 2, "llm-minilm-8-2": 2, "llm-tfidf-8-2": 2}
    assert all(len(one.cheap.shown) == 2 for one in kept["llm-minilm-8-2"])
    assert all(one.memory is None and not one.cheap.shown for one in kept["llm-0"])
    capsys.readouterr()

    await main([*asked, "--limit", "2", "--recorded", "--pictures", str(pictures)])
    out = capsys.readouterr().out
    assert "messages\n" not in out, "nothing was asked"
    assert "| Gemma 3 270M | TF-IDF | 8 | 2 |" in out
    for picture in ("accuracy_by_size.svg", "risk_coverage.svg"):
        assert ET.parse(pictures / picture).getroot().tag.endswith("svg")


def test_a_smaller_memory_is_a_part_of_a_larger_one_and_of_equal_texts_one_counts() -> None:
    rows = [(f"text {number}", "refund") for number in range(30)] * 2
    small, large, whole = (examples_of(rows, size, 0) for size in ("5", "20", "all"))
    assert (len(small), len(large), len(whole)) == (5, 20, 30)
    assert large[:5] == small
    assert len({example.id for example in whole}) == 30
