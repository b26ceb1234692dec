"""Who may do what: each role may do what the ones before it may."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What somebody is at the desk."""

    REVIEWER = "reviewer"
    """Decides tickets."""
    LEAD = "lead"
    """Corrects others' decisions, asks for second opinions, reads the journal."""
    OPERATOR = "operator"
    """Acknowledges alerts, redrives and discards dead letters."""

    def may(self, needed: Role) -> bool:
        """Return whether this role may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
