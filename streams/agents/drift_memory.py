"""What the drift agent remembers: one watch for each partition, rebuilt from a kept state and the probes since."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from schemas import Probe
from streams.core.drift.series import ProbeWatch, Seen

Place = tuple[str, int]
"""A topic's physical name and the number of a partition."""

KEPT_EVERY: Final = 10_000
"""Probes of a partition from one kept state to the next. The one before the last is never ahead of what is committed."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A probe and where it stands."""

    place: Place
    offset: int
    probe: Probe


@dataclass(frozen=True, slots=True)
class State:
    """A partition's watch after its probe at ``offset``, and that probe, by which the partition is known again."""

    offset: int
    probe: Probe
    watch: ProbeWatch


class States(Protocol):
    """Where states are kept. What cannot be read is not there; what cannot be written is not kept."""

    def load(self, place: Place, before: int) -> State | None:
        """Return the latest kept state of a partition after a probe before this offset."""

    def keep(self, place: Place, state: State) -> None:
        """Keep a state; of each partition the latest two stay."""


class NoStates:
    """Keeps nothing: what is remembered is read from the topic alone."""

    def load(self, place: Place, before: int) -> State | None:
        """Return None."""

    def keep(self, place: Place, state: State) -> None:
        """Keep nothing."""


#: Yields the probes of each partition from one offset on and before another, in order; without the first, from the beginning.
ProbeHistory = Callable[[Mapping[Place, int], Mapping[Place, int]], AsyncIterator[Placed]]


@dataclass(slots=True)
class _Partition:
    watch: ProbeWatch
    last: Placed


class DriftMemory:
    """The memory of the drift stage.

    A state is taken up only if the topic still holds the probe that it was kept after. Without one, a partition is read
    from the beginning.
    """

    def __init__(self, detectors: Sequence[str], history: ProbeHistory, states: States | None = None) -> None:
        self._detectors = tuple(detectors)
        self._history = history
        self._states = states or NoStates()
        self._partitions: dict[Place, _Partition] = {}
        ProbeWatch(self._detectors)  # a detector whose package is missing stops a worker at its start, not at a probe

    def update(self, placed: Placed) -> Seen:
        """Feed the next probe of a partition, and return what it shows."""
        return self._feed(self._partitions, placed)

    def forget(self) -> None:
        """Begin with watches that know nothing."""
        self._partitions = {}

    async def catch_up(self, before: Mapping[Place, int]) -> None:
        """Feed what these partitions held before an offset; what it shows was sent when it was handled."""
        partitions = self._partitions  # if they are forgotten meanwhile: fed to the end, and of no consequence
        kept = {place: state for place, end in before.items() if (state := self._states.load(place, end))}
        since = {place: state.offset for place, state in kept.items()}
        async for placed in self._history(since, before):
            state = kept.get(placed.place)
            if state is None:
                self._feed(partitions, placed)
            elif (placed.offset, placed.probe) == (state.offset, state.probe):
                partitions[placed.place] = _Partition(state.watch, placed)
                del kept[placed.place]
        if kept:  # of another topic of this name, or of one whose records are gone
            async for placed in self._history({}, {place: before[place] for place in kept}):
                self._feed(partitions, placed)

    def _feed(self, partitions: dict[Place, _Partition], placed: Placed) -> Seen:
        partition = partitions.get(placed.place)
        if partition is None:
            partition = partitions[placed.place] = _Partition(ProbeWatch(self._detectors), placed)
        last, partition.last = partition.last, placed
        if last.offset // KEPT_EVERY != placed.offset // KEPT_EVERY:
            self._states.keep(placed.place, State(last.offset, last.probe, partition.watch))
        return partition.watch.update(placed.probe)
