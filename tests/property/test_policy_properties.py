"""Over random policies and signals: nothing unscored is accepted, and more doubt never turns a refusal into an accept."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import Reason, Scored, Unscorable
from streams.core.policy.policy import Basis, BigRule, CheapRule, Policy, decide_big, decide_cheap, uncertainty
from tests.support.messages import LABELS, call

seeded = settings(max_examples=150, deadline=None, derandomize=True)

shares = st.floats(0, 1)
nats = st.floats(0, 6)
logprobs = st.floats(-20, 0)
labels = st.sampled_from(LABELS)
bases: st.SearchStrategy[Basis] = st.sampled_from(["label", "token", "min", "mean"])
reasons = st.sampled_from(Reason)

# The most lenient values are drawn often: an accept that should not be is likeliest there.
lenient = st.just(0.0) | shares
tolerant = st.just(1e9) | nats
policies = st.builds(
    Policy,
    basis=bases,
    min_top_k_mass=lenient,
    audit_share=st.just(0.0) | shares,
    cheap=st.builds(
        CheapRule,
        min_confidence=lenient,
        min_confidence_two_labels=lenient,
        max_entropy=tolerant,
        abstain_entropy=st.none() | nats,
    ),
    big=st.builds(
        BigRule,
        min_confidence=lenient,
        min_confidence_two_labels=lenient,
        max_entropy=tolerant,
        disagreement_entropy=tolerant,
    ),
)
signals = st.builds(
    Scored,
    label=labels,
    confidence=shares,
    entropy=nats,
    decision_entropy=st.none() | nats,
    token_confidence=shares,
    token_entropy=nats,
    top_k_mass=shares,
    k=st.integers(1, 20),
    label_probs=st.sampled_from([dict.fromkeys(LABELS, 1 / 3), dict.fromkeys(LABELS[:2], 0.5)]),
    out_of_label=shares,
    margin=shares,
    min_logprob=logprobs,
    mean_logprob=logprobs,
)
unscorables = st.builds(Unscorable, reason=reasons, label=st.none() | labels)


@given(policies, unscorables, st.text(max_size=8), st.none() | labels)
@seeded
def test_no_policy_accepts_an_answer_without_a_signal(
    policy: Policy, signal: Unscorable, ticket_id: str, cheap_label: str | None
) -> None:
    cheap, big = (
        decide_cheap(policy, ticket_id, call(signal=signal)),
        decide_big(policy, cheap_label, call("big", signal)),
    )
    assert (cheap.action, big.action) == ("escalate", "review")
    for decision in (cheap, big):
        assert decision.reasons == (f"no_signal:{signal.reason.value}",)
        assert decision.confidence is decision.entropy is None


@given(policies, signals, st.text(max_size=8), st.none() | labels)
@seeded
def test_what_is_not_accepted_says_why_and_what_is_has_no_reason(
    policy: Policy, signal: Scored, ticket_id: str, cheap_label: str | None
) -> None:
    cheap, big = (
        decide_cheap(policy, ticket_id, call(signal=signal)),
        decide_big(policy, cheap_label, call("big", signal)),
    )
    assert big.action != "escalate"
    for decision in (cheap, big):
        assert (decision.action == "accept") == (not decision.reasons)
        assert decision.confidence is not None
        assert decision.entropy is not None
    if signal.top_k_mass < policy.min_top_k_mass:
        assert cheap.action != "accept"
        assert big.action != "accept"
    if cheap_label not in (None, signal.label) and (big.entropy or 0) >= policy.big.disagreement_entropy:
        assert big.action == "review"


@given(policies, signals, st.floats(0, 1), st.floats(0, 3), st.none() | labels)
@seeded
def test_more_doubt_never_helps(
    policy: Policy, signal: Scored, factor: float, more: float, cheap_label: str | None
) -> None:
    worse = signal.model_copy(
        update={
            "confidence": signal.confidence * factor,
            "token_confidence": signal.token_confidence * factor,
            "top_k_mass": signal.top_k_mass * factor,
            "entropy": signal.entropy + more,
            "decision_entropy": signal.decides + more,
            "token_entropy": signal.token_entropy + more,
            "min_logprob": signal.min_logprob - more,
            "mean_logprob": signal.mean_logprob - more,
        }
    )
    if decide_cheap(policy, "t", call(signal=worse)).action == "accept":
        assert decide_cheap(policy, "t", call(signal=signal)).action == "accept"
    if decide_big(policy, cheap_label, call("big", worse)).action == "accept":
        assert decide_big(policy, cheap_label, call("big", signal)).action == "accept"


@given(st.lists(signals | unscorables, max_size=2), st.integers(2, 100))
@seeded
def test_uncertainty_can_order_a_queue(answers: list[Scored | Unscorable], label_count: int) -> None:
    doubt = uncertainty([call(signal=signal) for signal in answers], label_count)
    assert math.isfinite(doubt)
    assert doubt >= 0
