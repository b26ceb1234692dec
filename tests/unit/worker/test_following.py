"""What a worker logs of the alerts that it follows."""

from __future__ import annotations

import structlog

from schemas import Alert
from streams.settings import check_settings
from streams.worker.following import Followed
from tests.support.messages import alert
from tests.unit.test_settings import valid

SOURCE = "cheap:cheap-model"


def logged(*alerts: Alert) -> list[str]:
    followed = Followed(check_settings(valid(), "hedgerow.yaml"))
    with structlog.testing.capture_logs() as lines:
        for each in alerts:
            followed.take(each)
    return [f"{line['event']} {line.get('kind', '')}".strip() for line in lines]


def told(alert_id: str, kind: str, *was: str) -> Alert:
    return alert(alert_id=alert_id, source=SOURCE, kind=kind, details={"was": list(was)} if was else {})


def test_an_alert_of_guards_and_its_end_are_a_line_each_however_often_they_come() -> None:
    begun, over = told("1", "contract_changed"), told("2", "recovered", "contract_changed:accept")
    assert logged(begun, begun, over, over) == ["alert contract_changed", "alert recovered"]


def test_what_has_a_line_of_its_own_is_not_logged_again() -> None:
    assert logged(told("1", "endpoint_down"), told("2", "recovered", "endpoint_down")) == []
    assert logged(alert(source="reviews", kind="review_overload")) == ["tickets for reviewers wait"]
