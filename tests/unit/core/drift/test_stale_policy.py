"""A policy that was made for another model: when it is stale, and what workers do meanwhile."""

from __future__ import annotations

import itertools

import pytest

from schemas import Alert, Call, Escalation, Reason, Review, Routed
from streams.core.drift import stale_policy as module
from streams.core.drift.alert_kinds import MODEL_MOVED, WatchKind
from streams.core.drift.stale_policy import StalePolicy, tightened
from streams.core.policy.policy import Decision, Policy, WhenStale
from tests.support.handlers import escalate, score
from tests.support.messages import alert, call, classification, escalation, scored, unscorable

_ids = itertools.count()


def about(kind: str, source: str = "mini", **changes: object) -> Alert:
    fields = {"alert_id": f"a-{next(_ids)}", "kind": kind, "source": source, "details": {"policy_id": "policy-7"}}
    return alert(**(fields | changes))


def follows(*alerts: Alert, sources: tuple[str, ...] = ("mini", "again")) -> list[bool]:
    stale = StalePolicy("policy-7", sources)
    return [bool(stale) for each in alerts if stale.update(each) in (True, False)]


class TestStaleness:
    @pytest.mark.parametrize("kind", sorted(MODEL_MOVED))
    def test_begins_with_a_changed_model_and_ends_with_an_acknowledgement(self, kind: str) -> None:
        assert follows(about(kind), about("acknowledged"), about(kind)) == [True, False, True]

    @pytest.mark.parametrize("kind", sorted(set(WatchKind) - MODEL_MOVED - {WatchKind.ACKNOWLEDGED}))
    def test_no_other_alert_begins_it(self, kind: str) -> None:
        assert follows(about(kind)) == [False]

    def test_is_about_the_endpoints_of_the_tier(self) -> None:
        assert follows(about("model_changed", "elsewhere")) == [False]
        assert follows(about("model_changed"), sources=()) == [False]
        assert follows(about("model_changed", "again"), about("acknowledged", "mini")) == [True, True]

    def test_is_about_the_policy_that_was_in_force(self) -> None:
        assert follows(about("model_changed", details={"policy_id": "policy-6"})) == [False]
        assert follows(about("model_changed", details={})) == [True]

    def test_an_alert_that_comes_again_after_it_was_acknowledged_is_no_news(self) -> None:
        first = about("model_changed")
        assert follows(first, about("acknowledged"), first, about("model_changed")) == [True, False, False, True]

    def test_update_tells_a_change_and_what_stands(self) -> None:
        stale = StalePolicy("policy-7", ["mini"])
        first, second = about("model_changed"), about("model_drifted")
        assert [stale.update(first), stale.update(second), stale.update(about("acknowledged"))] == [True, False, True]
        stale.update(third := about("model_changed"))
        assert stale.standing == (third,)

    def test_memory_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "_REMEMBERED", 3)
        stale = StalePolicy("policy-7", ["mini"])
        for _ in range(10):
            stale.update(about("model_changed"))
        assert len(stale._known) == 3


class TestTightened:
    @pytest.mark.parametrize(
        ("tier", "when", "action"),
        [
            ("cheap", "escalate", "escalate"),
            ("cheap", "review", "review"),
            ("cheap", "ignore", "accept"),
            ("big", "escalate", "review"),
            ("big", "review", "review"),
            ("big", "ignore", "accept"),
        ],
    )
    def test_what_would_be_accepted(self, tier: str, when: WhenStale, action: str) -> None:
        decision = tightened(Decision("accept", (), 0.9, 0.1), tier, when)
        assert decision == Decision(action, ("policy_stale",), 0.9, 0.1)

    @pytest.mark.parametrize("when", ["escalate", "review", "ignore"])
    def test_nothing_else_changes(self, when: WhenStale) -> None:
        for decision in (Decision("escalate", ("low_confidence",)), Decision("review", ("audit",))):
            assert tightened(decision, "cheap", when) == decision


def policy(when: WhenStale) -> Policy:
    return Policy(id="policy-7", when_stale=when)


class TestAgents:
    def test_the_cheap_tiers_answer_is_escalated(self) -> None:
        (output,) = score(policy("escalate"), 3, stale=lambda: True)(classification())
        assert isinstance(output, Escalation)
        assert output.reasons == ("policy_stale",)

    async def test_and_the_result_says_why(self) -> None:
        async def ask(_: str) -> Call:
            return call("big")

        message = escalation().model_copy(update={"reasons": ("policy_stale",)})
        (output,) = await escalate(ask, policy("escalate"), 3)(message)
        assert isinstance(output, Routed)
        assert output.reasons == ("cheap:policy_stale",)

    def test_or_reviewed_or_marked(self) -> None:
        (output,) = score(policy("review"), 3, stale=lambda: True)(classification())
        assert isinstance(output, Review)
        assert output.reasons == ("policy_stale",)
        (output,) = score(policy("ignore"), 3, stale=lambda: True)(classification())
        assert isinstance(output, Routed)
        assert output.reasons == ("policy_stale",)

    async def test_a_stale_big_tier_leaves_the_person(self) -> None:
        async def ask(_: str) -> Call:
            return call("big")

        (output,) = await escalate(ask, policy("escalate"), 3, stale=lambda: True)(escalation())
        assert isinstance(output, Review)
        assert output.reasons[-1] == "big:policy_stale"

    def test_it_is_asked_for_every_ticket(self) -> None:
        now_stale = [False, True, False]
        handle = score(policy("review"), 3, stale=lambda: now_stale.pop(0))
        assert [type(handle(classification())[0]) for _ in range(3)] == [Routed, Review, Routed]

    def test_no_signal_stays_no_signal(self) -> None:
        (output,) = score(policy("ignore"), 3, stale=lambda: True)(classification(unscorable(Reason.LOGPROBS_NULL)))
        assert isinstance(output, Escalation)
        assert output.reasons == ("no_signal:logprobs_null",)

    def test_scored_but_doubtful_keeps_its_reasons(self) -> None:
        (output,) = score(policy("ignore"), 3, stale=lambda: True)(classification(scored(confidence=0.2)))
        assert isinstance(output, Escalation)
        assert output.reasons == ("low_confidence",)
