"""From a file of labelled messages to everything that the server answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from streams.errors import SettingsError
from streams.files import numbered_file_lines
from streams.sandbox.model_server.classifiers import TextClassifier, fit_big, fit_cheap
from streams.sandbox.model_server.ngram import NgramModel
from streams.sandbox.model_server.tokens import OutputLayer


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Messages and their labels, side by side."""

    texts: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TrainedModels:
    """What one training file gives: two classifiers, their common output layer, and a language model."""

    cheap: TextClassifier
    big: TextClassifier
    output: OutputLayer
    language: NgramModel

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, sorted."""
        return self.big.labels

    @property
    def rarity(self) -> Mapping[str, float]:
        """The inverse document frequency of each word in the training messages."""
        return {} if self.big.familiarity is None else self.big.familiarity.rarity


def read_training_set(path: Path) -> TrainingSet:
    """Read one JSON object a line with ``text`` and ``label``; rows without a label are left out.

    Raises SettingsError when the file cannot be read or a row is not such an object.
    """
    texts, labels = [], []
    for number, line in numbered_file_lines(path, "training"):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise SettingsError(f"line {number} of {path} is not JSON: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise SettingsError(f"line {number} of {path} needs a string called text")
        label = row.get("label")
        if label is None:
            continue
        if not isinstance(label, str) or not label.strip():
            raise SettingsError(f"line {number} of {path} has the label {label!r}, which is not a name")
        texts.append(row["text"])
        labels.append(label.strip())
    return TrainingSet(tuple(texts), tuple(labels))


def train(rows: TrainingSet, *, seed: int = 0) -> TrainedModels:
    """Train everything, the same from the same seed.

    Raises SettingsError for labels that cannot be learnt or told apart.
    """
    output = OutputLayer.of(sorted(set(rows.labels)))
    return TrainedModels(
        cheap=fit_cheap(rows.texts, rows.labels, seed=seed),
        big=fit_big(rows.texts, rows.labels, seed=seed),
        output=output,
        language=NgramModel.of(rows.texts),
    )
