"""Reasons are plain text in messages."""

from __future__ import annotations

import json

import pytest

from schemas import Escalation, Reason
from streams.core.policy.reasons import DecisionReason
from tests.support.messages import ticket


@pytest.mark.parametrize("reason", DecisionReason)
def test_a_reason_travels_as_its_lower_case_name(reason: DecisionReason) -> None:
    message = Escalation(ticket=ticket(), reasons=(reason,), policy_id="p")
    assert json.loads(message.encode())["reasons"] == [reason.name.lower()]
    assert Escalation.decode(message.encode()) == message


def test_a_reason_may_say_what_it_is_about() -> None:
    assert DecisionReason.NO_SIGNAL.of(Reason.REFUSED) == "no_signal:refused"
