"""What a webhook says: one alert, or the reviews that have come since the last time. No text of a ticket is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from schemas import Alert, Review
from schemas.base import stable_id

#: Of this many tickets the ids are named; all are counted.
MOST_TICKETS = 20


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to a webhook; the same id at every attempt, so that a receiver can tell a repetition."""

    message_id: str
    kind: Literal["alert", "reviews"]
    at_ms: int
    line: str
    """For people, in plain text."""
    data: Mapping[str, Any]

    def body(self, shape: Literal["json", "slack"]) -> bytes:
        """Return the body: ``{"type", "timestamp", "data"}``, or Slack's ``{"text"}``."""
        if shape == "slack":
            # Slack's own escapes: these three begin links, mentions and entities.
            text = self.line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            return orjson.dumps({"text": text})
        at = datetime.fromtimestamp(self.at_ms / 1000, UTC).isoformat(timespec="milliseconds")
        return orjson.dumps({"type": self.kind, "timestamp": at, "data": self.data})


def of_alert(alert: Alert) -> Notice:
    """Return the notice of an alert."""
    line = f"Hedgerow alert {alert.kind}: {alert.summary}"  # which says what it is about
    return Notice(alert.alert_id, "alert", alert.at_ms, line, alert.model_dump(mode="json"))


def of_reviews(reviews: Sequence[Review], count: int, reasons: Counter[str], at_ms: int) -> Notice:
    """Return the notice of ``count`` reviews, of which the first are given."""
    named = [review.ticket_id for review in reviews[:MOST_TICKETS]]
    tickets = f"{count} new tickets wait" if count > 1 else f"Ticket {named[0]} waits"
    why = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common(5))
    return Notice(
        stable_id("reviews", *named, str(at_ms)),
        "reviews",
        at_ms,
        f"Hedgerow: {tickets} for a reviewer ({why}); hedgerow review list shows them",
        {"count": count, "reasons": dict(reasons), "ticket_ids": named},
    )
