"""Handlers without guards, for what measures or compares everything else."""

from __future__ import annotations

from schemas import Alert, Call
from streams.agents.guards import Checked
from streams.agents.score import ScoreHandler
from streams.core.policy.policy import Decision, Policy


def check(decision: Decision, call: Call) -> Checked:
    """Return the policy's decision as it is."""
    del call
    return Checked(decision)


def escalates() -> tuple[bool, tuple[Alert, ...]]:
    """Allow every escalation."""
    return True, ()


def never_stale() -> bool:
    """Say that the policy is never stale."""
    return False


def score_handler(policy: Policy, label_count: int) -> ScoreHandler:
    """Return the handler of the score agent with the policy alone."""
    return ScoreHandler(policy, label_count, check=check, stale=never_stale)
