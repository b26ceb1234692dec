"""Which of several messages about a ticket counts."""

from __future__ import annotations

from typing import NamedTuple

from schemas.results import Review, Routed, Verdict


class Rank(NamedTuple):
    """The place of a result among those of its ticket; the highest counts, and of equals the one that was written last."""

    revision: int
    """The text of the ticket."""
    run: int
    """The re-run."""
    person: bool = False
    """A reviewer's decision counts more than a model's answer."""
    decision: int = 0
    """A correction counts more than what it corrects."""


def rank(message: Routed | Review | Verdict) -> Rank:
    """Return the rank of a result, of a verdict as the result that goes with it, or of the place in a queue of reviews.

    A review ranks as a model's answer: it is what the models left of the ticket.
    """
    if isinstance(message, Routed):
        return Rank(message.revision, message.run, message.decided_by == "human", message.decision)
    if isinstance(message, Verdict):
        return Rank(message.revision, message.run, True, message.decision)
    return Rank(message.revision, message.run)
