"""The interface of a change detector, and the detectors there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from streams.core.drift.judgement import Judgement
from streams.core.drift.lt.lt_detector import LtDetector
from streams.core.drift.lt_ref.lt_ref_detector import LtRefDetector
from streams.core.drift.page_hinkley import PageHinkleyDetector
from streams.core.drift.row import ProbeRow
from streams.errors import SettingsError


class Detector(Protocol):
    """Watches one endpoint's usable rows, in order, in bounded memory.

    ``update`` says what the row shows; a detector that is cooling down or collecting says so by ``Quiet`` or
    ``NotEnough``, and one that cannot compare a row by ``Unusable``. What it knows follows from the rows that it was given,
    so that a restart feeds them to it again.
    """

    def update(self, row: ProbeRow) -> Judgement:
        """Take the next usable row."""
        ...


DETECTORS: Final[Mapping[str, type[Detector]]] = {
    LtDetector.name: LtDetector,
    LtRefDetector.name: LtRefDetector,
    PageHinkleyDetector.name: PageHinkleyDetector,
}


def detector_type(name: str, detectors: Mapping[str, type[Detector]] = DETECTORS) -> type[Detector]:
    """The detector of that name; ``SettingsError`` if there is none."""
    if name not in detectors:
        raise SettingsError(f"there is no detector {name!r}; choose one of {', '.join(sorted(detectors))}")
    return detectors[name]
