"""What is assigned to a stage: one object, replaced whole whenever that changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from streams.delivery.ledger import Commit, Ledger

#: Topic and number of a partition.
Partition = tuple[str, int]
#: Topic, partition and offset of a record.
Place = tuple[str, int, int]


class Phase(StrEnum):
    """Where an assignment is in its life."""

    NONE = "none"
    """There is none: before the first one, or between a revocation and the next ledgers."""
    STANDS = "stands"
    """Its ledgers are restored and count."""
    LEAVING = "leaving"
    """The partitions are being given back: nothing new is taken, and what finishes in time goes into the last commit."""
    LOST = "lost"
    """The partitions are still ours, but outputs were lost with their transaction, so the ledgers must be restored again."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """The partitions of a stage and what is known about them.

    Never changed, only replaced: two points in time belong to the same assignment if and only if they see the same object.
    What grows during an assignment (ledgers, ``committed``, ``caught_up``) belongs to it and goes away with it.

    none -> stands -> leaving -> none; stands -> lost -> stands, or none at a revocation.
    """

    ledgers: Mapping[Partition, Ledger]
    committed: dict[Partition, Commit] = field(default_factory=dict)
    """The last commit of each partition."""
    caught_up: set[Partition] = field(default_factory=set)
    """The partitions whose history the stage's memory knows."""
    phase: Phase = Phase.STANDS

    @classmethod
    def nothing(cls, phase: Phase = Phase.NONE) -> Assignment:
        """Return an assignment without ledgers."""
        return cls({}, phase=phase)

    @classmethod
    def restored(cls, partitions: Iterable[Partition], committed: Mapping[Partition, Commit]) -> Assignment:
        """Return the assignment of these partitions as their last owners left them."""
        ledgers = {}
        for partition in partitions:
            commit = committed.get(partition)
            ledgers[partition] = Ledger() if commit is None else Ledger.restore(commit.offset, commit.metadata)
        return cls(ledgers, dict(committed))

    def leaving(self) -> Assignment:
        """Return what is left of it while its partitions are given back."""
        if self.phase in {Phase.STANDS, Phase.LEAVING}:
            return replace(self, phase=Phase.LEAVING)
        return Assignment.nothing()

    def ledger(self, partition: Partition) -> Ledger | None:
        """Return the partition's ledger, or None if it is not ours."""
        return self.ledgers.get(partition)
