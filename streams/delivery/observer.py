"""What delivery reports to its observer, for metrics; the default observer ignores everything."""

from __future__ import annotations

from collections.abc import Sequence

from schemas import DeadLetter, Message


class Observer:
    """Hooks of the delivery module. Override what you need; none may raise or block."""

    def handled(self, agent: str, outputs: Sequence[Message], seconds: float) -> None:
        """One message is finished: its outputs are with the broker. ``seconds`` from being taken."""

    def dead_lettered(self, agent: str, letter: DeadLetter) -> None:
        """One message went to the dead letters."""

    def retried(self, agent: str, reason: str) -> None:
        """One handler call or send will be tried again."""

    def skipped(self, agent: str, why: str, count: int) -> None:
        """Messages were finished or dropped without a handler call: "finished_before", "known_id", "not_ours"."""

    def in_flight(self, agent: str, count: int, queued: int) -> None:
        """How many messages are in progress and how many wait, now."""

    def held(self, agent: str, count: int) -> None:
        """How many messages wait for what they need, such as an endpoint that does not answer, now."""

    def committed(self, agent: str, topic: str, partition: int, offset: int, lag: int) -> None:
        """One partition was committed; ``lag`` counts messages from the committed offset to the end of the log."""

    def rebalanced(self, agent: str, partitions: int, seconds: float) -> None:
        """A rebalance ended with this many partitions here, ``seconds`` after it began."""
