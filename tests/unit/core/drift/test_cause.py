"""What alerts about models and about traffic say together."""

from __future__ import annotations

import itertools

import pytest

from schemas import Alert
from streams.agents.cause import CauseHandler
from streams.core.drift import cause as module
from streams.core.drift.alert_kinds import MODEL_MOVED, WatchKind
from streams.core.drift.cause import CauseWatch
from tests.support.messages import alert

HOUR = 3_600_000
_ids = itertools.count()


def about(kind: str, hours: float, source: str = "mini", **details: object) -> Alert:
    return alert(alert_id=f"alert-{next(_ids)}", kind=kind, at_ms=round(hours * HOUR), source=source, details=details)


def told(*alerts: Alert) -> list[str]:
    watch = CauseWatch(24 * HOUR)
    return [found.kind for each in alerts if (found := watch.update(each)) is not None]


@pytest.mark.parametrize("kind", sorted(MODEL_MOVED))
def test_model_and_traffic_close_together_are_both_in_either_order(kind: str) -> None:
    assert told(about(kind, 0), about("traffic_changed", 23)) == ["both_changed"]
    assert told(about("traffic_changed", 0), about(kind, 23)) == ["tickets_changed", "both_changed"]


def test_traffic_alone_is_the_tickets() -> None:
    assert told(about("traffic_changed", 0)) == ["tickets_changed"]
    assert told(about("model_changed", 0), about("traffic_changed", 25)) == ["tickets_changed"]


def test_the_model_alone_has_said_so_itself() -> None:
    assert told(about("model_changed", 0)) == []
    assert told(about("traffic_changed", 0), about("model_changed", 25)) == ["tickets_changed"]


def test_other_sources_and_other_kinds_do_not_count() -> None:
    assert told(about("model_changed", 0, source="other"), about("traffic_changed", 1)) == ["tickets_changed"]
    others = set(WatchKind) - MODEL_MOVED - {WatchKind.TRAFFIC_CHANGED}
    assert told(*(about(kind, 0) for kind in (*others, "contract_changed")), about("traffic_changed", 1)) == [
        "tickets_changed"
    ]


def test_sources_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SOURCES", 2)
    first = about("model_changed", 0, source="first")
    crowd = [about("model_changed", 0, source=f"other {number}") for number in range(5)]
    assert told(first, *crowd, about("traffic_changed", 1, source="first")) == ["tickets_changed"]


async def _nothing(before: object) -> object:
    for each in ():
        yield each


def test_the_agent_says_which_alerts_it_rests_on() -> None:
    agent = CauseHandler(86_400, _nothing)  # type: ignore[arg-type]
    model = about("model_changed", 0)
    traffic = about("traffic_changed", 2, moved=["confidence", "labels"])
    assert agent(model) == ()
    (found,) = agent(traffic)
    assert isinstance(found, Alert)
    assert (found.source, found.kind, found.at_ms) == ("mini", "both_changed", 2 * HOUR)
    assert (found.details["traffic_alert"], found.details["model_alert"]) == (traffic.alert_id, model.alert_id)
    assert "confidence, labels" in found.summary
    assert "the model's doing alone" in found.summary
    (again,) = CauseHandler(86_400, _nothing)(traffic)  # type: ignore[arg-type]
    assert (again.kind, again.alert_id != found.alert_id) == ("tickets_changed", True)
    assert agent(found) == (), "its own alerts come back on the topic that it reads"
