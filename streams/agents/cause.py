"""cause: reads the alerts about probes and traffic, and says whether the tickets changed, or both."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import Alert, stable_id
from streams.agents.replayed import History, Replayed
from streams.core.drift.cause import Cause, CauseWatch

_HOUR_MS = 3_600_000


class CauseHandler:
    """Alert -> Alert if two together say more than each.

    An alert about the model and one about the traffic belong together within ``together_s`` seconds.
    """

    def __init__(self, together_s: float, history: History[Alert]) -> None:
        self._together_ms = together_ms = round(together_s * 1000)
        self.memory: Replayed[Alert, Cause | None] = Replayed(lambda: CauseWatch(together_ms).update, history)

    def __call__(self, message: Alert) -> Sequence[Alert]:
        """Handle one alert."""
        found = self.memory.update(message)
        return () if found is None else (_alert(found, self._together_ms),)


def _alert(found: Cause, together_ms: int) -> Alert:
    traffic, model = found.traffic, found.model
    moved = traffic.details.get("moved", [])
    hours = f"{together_ms / _HOUR_MS:g} h"
    if model is None:
        said = f"the tickets changed ({', '.join(moved)}); the probe of the model has not moved within {hours}"
    else:
        input_too = "" if "input_length" in moved else "; what moved of it may be the model's doing alone"
        said = f"the model and the traffic ({', '.join(moved)}) changed within {hours}{input_too}"
    return Alert(
        alert_id=stable_id(
            "alert", traffic.source, found.kind, traffic.alert_id, "" if model is None else model.alert_id
        ),
        source=traffic.source,
        kind=found.kind,
        at_ms=found.at_ms,
        summary=f"{traffic.source}: {said}",
        details={
            "traffic_alert": traffic.alert_id,
            "model_alert": None if model is None else model.alert_id,
            "moved": moved,
            "together_ms": together_ms,
        },
    )
