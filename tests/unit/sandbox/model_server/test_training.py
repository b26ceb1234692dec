"""Training files, and what one training gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from streams.errors import SettingsError
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.training import TrainingSet, read_training_set, train
from streams.sandbox.tickets import TRAIN


def test_rows_without_a_label_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        '{"ticket_id": "1", "text": "lost", "label": " card "}\n\n'
        '{"ticket_id": "2", "text": "hello"}\n{"ticket_id": "3", "text": "hello", "label": null}\n'
        '{"ticket_id": "4", "text": "G\u00fctige", "label": "fees"}\n',
        encoding="utf-8",
    )
    assert read_training_set(file) == TrainingSet(("lost", "Gütige"), ("card", "fees"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 of .* is not JSON"),
        ("[]", "line 2 of .* needs a string called text"),
        ('{"label": "x"}', "line 2 of .* needs a string called text"),
        ('{"text": "x", "label": 3}', "line 2 of .* has the label 3"),
        ('{"text": "x", "label": " "}', "line 2 of .* has the label ' '"),
    ],
)
def test_refuses_rows_that_cannot_be_used(tmp_path: Path, line: str, message: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a", "label": "b"}\n' + line)
    with pytest.raises(SettingsError, match=message):
        read_training_set(file)


def test_refuses_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        read_training_set(tmp_path / "missing.jsonl")


def test_the_sample_tickets_train_the_same_models_every_time() -> None:
    rows = read_training_set(TRAIN)
    first, second = train(rows, seed=2), train(rows, seed=2)
    assert first.labels == first.cheap.labels == tuple(sorted(set(rows.labels)))
    for text in ("I want my money back", "the app crashes"):
        assert np.array_equal(first.cheap.predict_log_proba(text), second.cheap.predict_log_proba(text))
        assert np.array_equal(first.big.predict_log_proba(text), second.big.predict_log_proba(text))
    assert first.language == second.language


def test_refuses_labels_that_differ_in_case_only() -> None:
    with pytest.raises(SettingsError, match="differ in more than case"):
        train(TrainingSet(("a", "b"), ("fees", "Fees")))


@pytest.mark.parametrize("wrong", [{"base_ms": -1.0}, {"tail_rate": 1.1}, {"tail_ms": -0.1}])
def test_refuses_impossible_latencies(wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="a latency needs"):
        Latency(**wrong)


def test_latency_is_the_base_with_a_heavy_bounded_tail_on_a_share_of_calls() -> None:
    import random

    chance = random.Random(1)
    assert Latency(5.0).draw(chance) == 0.005
    seconds = [Latency(5.0, tail_rate=0.1, tail_ms=100.0).draw(chance) for _ in range(5000)]
    slow = [value for value in seconds if value > 0.005]
    assert len(slow) / len(seconds) == pytest.approx(0.1, abs=0.02)
    assert min(slow) >= 0.105
    assert 1.0 < max(slow) <= 2.005
