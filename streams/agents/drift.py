"""drift: watches the probes of every endpoint, and raises an alert if one shows that the model has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from schemas import Alert, Probe, stable_id
from streams.agents.drift_memory import DriftMemory, Placed, ProbeHistory, States
from streams.core.drift import Alarm, At, Span
from streams.core.drift.alert_kinds import OF_ALARM, WatchKind
from streams.core.drift.series import Raised

#: Called for every probe: its endpoint, and what became of it ("sample", "repeated", or why it is no sample).
Count = Callable[[str, str], None]

_MAX_TOKEN = 64
_NOWHERE = ("", 0)


class DriftHandler:
    """Probe -> Alert per alarm. ``policy_id`` is the policy that a changed model makes stale.

    A probe that comes without its place counts as one of a partition that no other is of.
    """

    def __init__(
        self,
        detectors: Sequence[str],
        policy_id: str,
        history: ProbeHistory,
        count: Count = lambda _endpoint, _what: None,
        states: States | None = None,
    ) -> None:
        self._policy_id = policy_id
        self._count = count
        self.memory = DriftMemory(detectors, history, states)

    def __call__(self, message: Probe | Placed) -> Sequence[Alert]:
        """Handle one probe."""
        placed = message if isinstance(message, Placed) else Placed(_NOWHERE, 0, message)
        seen, probe = self.memory.update(placed), placed.probe
        self._count(probe.endpoint, "repeated" if seen.repeated else seen.unusable or "sample")
        return [alert_of(probe, raised, self._policy_id) for raised in seen.raised]


def alert_of(probe: Probe, raised: Raised, policy_id: str) -> Alert:
    """Return the alert of an alarm that this probe raised: the same at every redelivery, to the last digit."""
    alarm = raised.alarm
    kind = OF_ALARM[alarm.kind]
    details: dict[str, Any] = {
        "detector": raised.detector,
        "statistic": alarm.statistic,
        "score": alarm.score,
        "threshold": alarm.threshold,
        "baseline": _span(alarm.before),
        "window": _span(alarm.after),
        "moved": [asdict(moved) | {"token": moved.token[:_MAX_TOKEN]} for moved in alarm.moved],
        "was": alarm.was,
        "now": alarm.now,
        "matched": _span(alarm.matched),
        "swaps": list(alarm.swaps) or None,
        "model_asked": probe.model_asked,
        "model_returned": probe.model_returned,
        "prompt": probe.prompt,
        "k": probe.k_asked,
        "temperature": probe.temperature,
        "probe_id": probe.probe_id,
        "policy_id": policy_id,
    }
    return Alert(
        alert_id=stable_id("alert", probe.endpoint, kind, probe.probe_id),
        source=probe.endpoint,
        kind=kind,
        at_ms=probe.at_ms,
        summary=f"{probe.endpoint}: {_summary(kind, alarm)}",
        details={name: value for name, value in details.items() if value is not None},
    )


def _span(span: Span | None) -> dict[str, Any] | None:
    return None if span is None else {"first_ms": span.first, "last_ms": span.last, "probes": span.n}


def _summary(kind: WatchKind, alarm: Alarm) -> str:
    match kind:
        case WatchKind.LOGPROBS_MISSING:
            return f"{alarm.statistic:.0f} answers in a row came back without logprobs"
        case WatchKind.K_CHANGED:
            noun = "alternative comes" if alarm.now == 1 else "alternatives come"
            return f"{alarm.now} {noun} back instead of {alarm.was}"
        case WatchKind.MODEL_ID_CHANGED:
            return f"the model {alarm.now} answers instead of {alarm.was}"
        case WatchKind.FINGERPRINT_CHANGED:
            return f"the fingerprint {alarm.now} comes back instead of {alarm.was}"
        case _:
            moved = ", ".join(
                f"{moved.token[:_MAX_TOKEN]!r} {moved.before:.2f} -> {moved.after:.2f}" for moved in alarm.moved[:3]
            )
            passed = f"{alarm.statistic:.3g}, quiet up to {alarm.threshold:.3g}"
            return f"{_movement(kind, alarm)} ({passed}): {moved}"


def _movement(kind: WatchKind, alarm: Alarm) -> str:
    if alarm.matched is None:
        return f"the probe's logprobs moved {'slowly' if kind is WatchKind.MODEL_DRIFTED else 'suddenly'}"
    known = f"of {_date(alarm.matched.first)} to {_date(alarm.matched.last)}"
    if kind is WatchKind.MODEL_RETURNED:
        return f"the probe's logprobs are again those {known}"
    swaps = ", ".join(map(_date, alarm.swaps))
    return f"two models alternate (swaps on {swaps}), and the probe's logprobs are now those {known}"


def _date(at: At) -> str:
    return str(at) if not isinstance(at, int) else f"{datetime.fromtimestamp(at / 1000, UTC):%Y-%m-%d %H:%M}"
