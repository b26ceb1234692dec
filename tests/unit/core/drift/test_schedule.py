"""The schedule of probes, which every prober computes for itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.core.drift.schedule import due_at, probe_id, slot_at

HOUR = 3_600_000


@given(now=st.integers(0, 10**13), interval=st.integers(1, 30 * 24 * HOUR), share=st.floats(0, 0.999))
def test_a_slot_holds_its_moment_and_its_probe(now: int, interval: int, share: float) -> None:
    slot = slot_at(now, interval)
    assert slot <= now < slot + interval
    assert slot_at(slot, interval) == slot
    assert slot <= due_at("a", slot, int(share * interval)) < slot + interval


def test_the_delay_differs_from_slot_to_slot_and_from_endpoint_to_endpoint() -> None:
    slots = range(0, 200 * HOUR, HOUR)
    delays = [due_at("a", slot, 360_000) - slot for slot in slots]
    assert len(set(delays)) > 190
    assert 120_000 < sum(delays) / len(delays) < 240_000
    assert delays != [due_at("b", slot, 360_000) - slot for slot in slots]
    assert {due_at("a", slot, 0) - slot for slot in slots} == {0}


def test_two_probers_give_a_slot_the_same_id_and_two_slots_two() -> None:
    assert probe_id("a", 2 * HOUR) == probe_id("a", 2 * HOUR)
    assert len({probe_id("a", HOUR), probe_id("a", 2 * HOUR), probe_id("b", HOUR)}) == 3
