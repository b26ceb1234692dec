"""Notices from an endpoint's probe rows that the model behind it, or what it returns, has changed."""

from streams.core.drift.detector import DETECTORS, Detector
from streams.core.drift.judgement import MOVEMENTS, Alarm, Judgement, Kind, Moved, NotEnough, Quiet, Span
from streams.core.drift.lt.permutation_test import permutation_tests
from streams.core.drift.monitor import EndpointMonitor, Observation
from streams.core.drift.replay import AlarmRecord, Replay, TwoSampleRecord, replay, two_sample_test
from streams.core.drift.row import At, ProbeRow, Reason, Unusable, read_row

__all__ = [
    "DETECTORS",
    "MOVEMENTS",
    "Alarm",
    "AlarmRecord",
    "At",
    "Detector",
    "EndpointMonitor",
    "Judgement",
    "Kind",
    "Moved",
    "NotEnough",
    "Observation",
    "ProbeRow",
    "Quiet",
    "Reason",
    "Replay",
    "Span",
    "TwoSampleRecord",
    "Unusable",
    "permutation_tests",
    "read_row",
    "replay",
    "two_sample_test",
]
