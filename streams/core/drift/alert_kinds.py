"""The kinds of alert that the drift agents raise, and what each says about the policy in force."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from streams.core.drift import MOVEMENTS, Kind


class WatchKind(StrEnum):
    """Beside the guards' kinds (``streams.core.guards.AlertKind``), on the same topic."""

    MODEL_CHANGED = "model_changed"
    """The probe's distribution moved at once: another model answers, or the same one otherwise."""
    MODEL_DRIFTED = "model_drifted"
    """The probe's distribution moved slowly."""
    MODEL_RETURNED = "model_returned"
    """The probe's distribution is again that of an earlier time: a model that answered before is back."""
    MODEL_ALTERNATING = "model_alternating"
    """Two models answer by turns; said once, and not at every swap."""
    MODEL_ID_CHANGED = "model_id_changed"
    """Another model id comes back."""
    FINGERPRINT_CHANGED = "fingerprint_changed"
    """Another serving fingerprint comes back."""
    K_CHANGED = "k_changed"
    """Another number of alternatives comes back."""
    LOGPROBS_MISSING = "logprobs_missing"
    """Answers come back without logprobs, several in a row."""
    TRAFFIC_CHANGED = "traffic_changed"
    """What the pipeline sees of its tickets moved: lengths, labels, confidence, entropy, escalations."""
    TICKETS_CHANGED = "tickets_changed"
    """The traffic moved and the probe did not: other tickets."""
    BOTH_CHANGED = "both_changed"
    """The traffic and the probe moved, close together."""
    ACKNOWLEDGED = "acknowledged"
    """An operator has seen to the alerts of this source."""


OF_ALARM: Final[Mapping[Kind, WatchKind]] = {
    Kind.CHANGE: WatchKind.MODEL_CHANGED,
    Kind.DRIFT: WatchKind.MODEL_DRIFTED,
    Kind.RETURNED: WatchKind.MODEL_RETURNED,
    Kind.ALTERNATING: WatchKind.MODEL_ALTERNATING,
    Kind.MODEL_CHANGE: WatchKind.MODEL_ID_CHANGED,
    Kind.FINGERPRINT_CHANGE: WatchKind.FINGERPRINT_CHANGED,
    Kind.K_CHANGE: WatchKind.K_CHANGED,
    Kind.MISSING: WatchKind.LOGPROBS_MISSING,
}
"""What a detector's alarm is called on the topic."""

MODEL_MOVED: Final = frozenset({*(OF_ALARM[kind] for kind in MOVEMENTS), WatchKind.MODEL_ID_CHANGED})
"""The model may not be the one that the policy was made for: one that returned is another than was last acknowledged.

A fingerprint alone says nothing: providers change it weekly.
"""
