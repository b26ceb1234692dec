"""What stands between the policy's decision and the ticket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from schemas import Call, Reason
from streams.core.guards import AlertKind, DecisionGuard, EscalationBudget, GuardLimits
from streams.core.guards.contract import Terms
from streams.core.guards.escalation_share import ShareWatch
from streams.core.guards.written_exception import WrittenException
from streams.core.policy.policy import Action, Decision
from tests.support.contracts import broken, exception, few_alternatives, kept, other_model, terms

TODAY = date(2026, 11, 1)
ACCEPT = Decision("accept", (), 0.9, 0.3)
NO_SIGNAL = Decision("escalate", ("no_signal:logprobs_null",))


def guard(*exceptions: WrittenException, **changes: Any) -> DecisionGuard:
    fields: dict[str, Any] = {
        "otherwise": "escalate",
        "terms": terms(),
        "limits": GuardLimits(),
        "exceptions": exceptions,
    }
    fields |= changes
    limits = fields["limits"]
    share = ShareWatch(limits.share_window, limits.remind_s) if fields["otherwise"] == "escalate" else None
    return DecisionGuard(**fields, share=share)


class TestContract:
    @pytest.mark.parametrize(("otherwise"), ["escalate", "review"])
    @pytest.mark.parametrize(
        ("call", "reason"),
        [(other_model(), "contract:model_not_allowed"), (few_alternatives(), "contract:k_below_minimum")],
    )
    def test_what_the_contract_forbids_is_not_accepted(self, call: Call, reason: str, otherwise: str) -> None:
        judged = guard(otherwise=otherwise).judge(ACCEPT, call, 0.0, TODAY)
        assert judged.decision == Decision(otherwise, (reason,), 0.9, 0.3)  # type: ignore[arg-type]
        assert guard(terms=Terms()).judge(ACCEPT, call, 0.0, TODAY).decision == ACCEPT

    def test_what_keeps_it_passes_unchanged(self) -> None:
        for decision in (ACCEPT, Decision("review", ("audit",), 0.9, 0.3), Decision("escalate", ("low_confidence",))):
            judged = guard().judge(decision, kept(), 0.0, TODAY)
            assert (judged.decision, judged.exception, judged.findings) == (decision, None, ())


class TestException:
    def test_accepts_without_a_number_and_says_so_once_an_hour(self) -> None:
        written = guard(exception())
        judged = written.judge(NO_SIGNAL, broken(), 0.0, TODAY)
        assert judged.decision == Decision("accept", ("exception:migration", "no_signal:logprobs_null"))
        assert judged.exception == exception()
        [finding] = judged.findings
        assert (finding.kind, finding.source) == (AlertKind.EXCEPTION_IN_USE, "exception:migration")
        assert finding.details["owner"] == "Grace Hopper"
        assert finding.details["expires"] == "2026-12-31"
        assert [len(written.judge(NO_SIGNAL, broken(), now, TODAY).findings) for now in (1.0, 3599.0, 3600.0)] == [
            0,
            0,
            1,
        ]

    @pytest.mark.parametrize(
        ("call", "on"),
        [
            (broken(), date(2026, 12, 31) + timedelta(days=1)),
            (broken(label=None), TODAY),
            (broken(Reason.LOGPROBS_ABSENT), TODAY),
            (broken(Reason.NO_ANSWER), TODAY),
            (broken(Reason.BREAKER_OPEN), TODAY),
            (broken(model_asked="another"), TODAY),
            (broken(tier="big"), TODAY),
            (broken(model_returned="other-model"), TODAY),
        ],
        ids=[
            "expired",
            "no label",
            "other reason",
            "no answer",
            "breaker",
            "other endpoint",
            "other tier",
            "other model",
        ],
    )
    def test_what_it_does_not_cover_stays_as_it_is(self, call: Call, on: date) -> None:
        judged = guard(exception()).judge(NO_SIGNAL, call, 0.0, on)
        assert (judged.decision, judged.exception, judged.findings) == (NO_SIGNAL, None, ())

    def test_excuses_the_missing_signal_and_no_other_doubt(self) -> None:
        strange = Decision("review", ("no_signal:logprobs_null", "perplexity_high"))
        assert guard(exception()).judge(strange, broken(), 0.0, TODAY).decision == strange

    def test_never_helps_a_scored_answer(self) -> None:
        doubt = Decision("escalate", ("low_confidence",), 0.3, 1.4)
        assert guard(exception()).judge(doubt, kept(), 0.0, TODAY).decision == doubt


def left(count: int) -> Callable[[], bool]:
    """Take from so many escalations."""
    numbers = iter(range(count))
    return lambda: next(numbers, None) is not None


class TestBudget:
    def test_beyond_it_a_person_decides(self) -> None:
        capped = guard(budget=EscalationBudget(2, 3600.0, left(2)))
        doubt = Decision("escalate", ("low_confidence",), 0.3, 1.4)
        judged = [capped.judge(doubt, kept(), float(now), TODAY) for now in range(5)]
        assert [each.decision.action for each in judged] == ["escalate", "escalate", "review", "review", "review"]
        assert judged[2].decision == Decision("review", ("low_confidence", "escalation_budget"), 0.3, 1.4)
        assert [finding.kind for each in judged for finding in each.findings] == [AlertKind.ESCALATION_BUDGET]

    def test_tickets_may_wait_for_the_next_hour_and_are_counted_once(self) -> None:
        answers = iter([True, False, False, True])
        budget = EscalationBudget(1, 3600.0, lambda: next(answers), waits=True)
        capped = guard(budget=budget, limits=GuardLimits(share_window=50))
        doubt = Decision("escalate", ("low_confidence",), 0.3, 1.4)
        moments = [(0.0, False), (1.0, False), (2.0, True), (3700.0, True)]
        judged = [capped.judge(doubt, kept(), now, TODAY, again=again) for now, again in moments]
        assert [each.waits for each in judged] == [False, True, True, False]
        assert [each.decision for each in judged] == [doubt] * 4
        [finding] = [finding for each in judged for finding in each.findings]
        assert "tickets wait" in finding.summary
        assert capped._share is not None
        assert capped._share._rates.calls == 2

    def test_counts_escalations_only(self) -> None:
        capped = guard(budget=EscalationBudget(1, 3600.0, left(1)))
        for decision in (ACCEPT, Decision("review", ("audit",))):
            assert capped.judge(decision, kept(), 0.0, TODAY).decision == decision
        assert capped.judge(ACCEPT, other_model(), 0.0, TODAY).decision.action == "escalate"
        assert capped.judge(ACCEPT, other_model(), 0.0, TODAY).decision.action == "review"


class TestShare:
    @pytest.mark.parametrize("reason", [Reason.OVER_BUDGET, Reason.BREAKER_OPEN, Reason.NO_ANSWER])
    @pytest.mark.parametrize("action", ["escalate", "review"])
    def test_a_ticket_about_which_no_model_was_asked_is_on_neither_side(self, action: Action, reason: Reason) -> None:
        share = ShareWatch(50, 3600.0)
        watched = DecisionGuard("escalate", terms(), GuardLimits(), share=share)
        unasked = broken(reason, label=None, attempts=())
        watched.judge(Decision(action, (f"no_signal:{reason}",)), unasked, 0.0, TODAY)
        assert share.state(0, 0).counted.calls == 0
        watched.judge(Decision(action, (f"no_signal:{reason}",)), broken(reason, label=None), 0.0, TODAY)
        assert share.state(0, 0).counted.calls == 1

    def test_is_watched_as_the_policy_wants_it_and_on_the_cheap_tier_only(self) -> None:
        silent = guard(limits=GuardLimits(share_window=50), budget=EscalationBudget(0, 1e9, left(0)))
        reviewing = guard(otherwise="review", limits=GuardLimits(share_window=50))
        doubt = Decision("escalate", ("low_confidence",))
        said = []
        for number in range(1000):
            decision = doubt if number % 2 and number < 500 else ACCEPT
            said += silent.judge(decision, kept(), float(number), TODAY).findings
            assert reviewing.judge(decision, kept(), float(number), TODAY).findings == ()
        assert [finding.kind for finding in said] == [AlertKind.ESCALATION_BUDGET, AlertKind.ESCALATION_SILENCE]
