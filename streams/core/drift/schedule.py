"""When an endpoint is probed. Every prober computes the same times, and the same id for the same probe."""

from __future__ import annotations

from schemas import stable_id


def slot_at(now_ms: int, interval_ms: int) -> int:
    """Return the beginning of the slot that holds this moment, Unix time in milliseconds."""
    return now_ms - now_ms % interval_ms


def due_at(endpoint: str, slot_ms: int, jitter_ms: int) -> int:
    """Return when the slot's probe is due: up to ``jitter_ms`` after its beginning, another time in every slot.

    The delay is drawn from the name and the slot: whole fleets do not ask at the full hour, and probers agree.
    """
    return slot_ms + int(stable_id("jitter", endpoint, str(slot_ms))[:8], 16) * jitter_ms // 2**32


def probe_id(endpoint: str, slot_ms: int) -> str:
    """Return the id of the slot's probe: the same whichever prober makes it, so that two of it count once."""
    return stable_id("probe", endpoint, str(slot_ms))
