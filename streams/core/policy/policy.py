"""When an answer is accepted, escalated or given to a reviewer.

There is no path from an unscorable answer to "accept" in here: both tiers' rules ask for a Scored signal before they
compare a single number. What labelled tickets answer alone needs no model, but a calibration that bounded its error.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from schemas import Call, Neighbour, Scored, TextPerplexity, Unscorable, stable_id
from schemas.signal import Probability, entropy_with_none
from streams.core.policy.calibration_map import CalibrationMap, Evidence
from streams.core.policy.fitted import Fitted
from streams.core.policy.reasons import DecisionReason
from streams.core.signal.perplexity import PerplexityRule, risk
from streams.core.signal.score import Reading

Action = Literal["accept", "escalate", "review"]
Basis = Literal["label", "token", "min", "mean"]
WhenStale = Literal["escalate", "review", "ignore"]
Novelty = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Nats = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Calibration(_Rule):
    """Each tier's map from what an answer shows to the share of such answers that are right; None: confidence as shown."""

    cheap: CalibrationMap | None = None
    big: CalibrationMap | None = None


class CheapRule(_Rule):
    """The cheap tier's rule; what does not pass is escalated."""

    max_chars: Annotated[int, Field(ge=0)] | None = None
    """A longer text goes straight to the big tier, before anything is paid; None: every text is asked about."""
    min_confidence: Probability = 0.65
    min_confidence_two_labels: Probability = 0.55
    max_entropy: Nats = 0.80
    """Accept needs less than this, nats."""
    abstain_entropy: Nats | None = None
    """At or above this a ticket goes straight to a reviewer, without paying the big model; None: never."""
    max_novelty: Novelty | None = None
    """Accept needs no more than this; None: the novelty is not looked at."""
    neighbours_disagree: Probability | None = None
    """An answer is not accepted if at least this share of the nearest labelled tickets has one other label; None: it is."""


class BigRule(_Rule):
    """The big tier's rule; what does not pass goes to a reviewer."""

    min_confidence: Probability = 0.65
    min_confidence_two_labels: Probability = 0.55
    max_entropy: Nats = 1.20
    """Accept needs no more than this, nats."""
    disagreement_entropy: Nats = 0.80
    """If the tiers name different labels, accept needs less than this, nats."""
    max_novelty: Novelty | None = None
    """Accept needs no more than this, and above it the model is not asked after the cheap one; None: it is not looked at."""
    neighbours_disagree: Probability | None = None
    """An answer is not accepted if at least this share of the nearest labelled tickets has one other label; None: it is."""


class MemoryRule(_Rule):
    """Tier zero: when labelled tickets that are nearly the same as this one answer without a call."""

    min_similarity: Annotated[float, Field(gt=0, le=1)]
    """The least cosine similarity of a near-duplicate; only these vote."""
    min_votes: Annotated[int, Field(ge=1, le=8)] = 1
    """How many near-duplicates there must be."""
    min_share: Annotated[float, Field(gt=0.5, le=1)] = 1.0
    """The share of the votes that one label must have."""


class Policy(_Rule):
    """The decision of both tiers, with the id that every result carries."""

    id: Annotated[str, Field(min_length=1, max_length=256)] = "default-1"
    basis: Basis = "label"
    """Which numbers decide: ``label`` space, the first answer ``token``, or ``min``/``mean`` logprob over the answer."""
    min_top_k_mass: Probability = 0.95
    """Under this the API showed too little of the distribution to accept anything."""
    calibration: Calibration = Calibration()
    """With a map, min_confidence is compared to the calibrated confidence: the chance of being right."""
    memory: MemoryRule | None = None
    """Tier zero; None: the memory answers nothing alone. Only for a policy whose calibration bounded its error."""
    cheap: CheapRule = CheapRule()
    big: BigRule = BigRule()
    audit_share: Probability = 0.0
    """Share of accepted cheap answers that are reviewed all the same, drawn by ticket id."""
    max_escalations_per_hour: Annotated[int, Field(ge=0)] | None = None
    """Escalations beyond these go to a reviewer, counted by each worker process; None: no limit."""
    perplexity: PerplexityRule | None = None
    """When a text is too strange, or too well known, for a model to decide; None: its perplexity is not looked at."""
    when_stale: WhenStale = "escalate"
    """What happens to answers of a changed model that would be accepted, until the change is acknowledged. ``escalate``:
    the big tier is asked; ``review``: a reviewer decides; ``ignore``: they are accepted and marked."""
    fitted: Fitted | None = None
    """What the policy was fitted on; an answer of any other model is then never accepted."""

    @model_validator(mode="after")
    def _bounds_what_the_memory_answers(self) -> Self:
        if self.memory is not None:
            bounded = None if self.fitted is None else self.fitted.tier_zero
            if self.fitted is None or bounded is None or bounded.bound > self.fitted.promise.max_error:
                raise ValueError(
                    "memory needs a calibration that bounded the memory's own error (hedgerow calibrate --tier-zero)"
                )
        return self


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with an answer, why not more (reasons), and the two numbers that decided; None without a signal.

    The confidence is the calibrated one if the policy has a map.
    """

    action: Action
    reasons: tuple[str, ...]
    confidence: float | None = None
    entropy: float | None = None


def numbers(signal: Scored, basis: Basis) -> tuple[float, float]:
    """Return (confidence, entropy in nats) on the policy's basis."""
    if basis == "label":
        return signal.confidence, signal.decides
    if basis == "token":
        return signal.token_confidence, signal.token_entropy
    logprob = signal.min_logprob if basis == "min" else signal.mean_logprob
    return math.exp(logprob), signal.token_entropy


def evidence(call: Call | Reading, signal: Scored, basis: Basis) -> Evidence:
    """Return what is known of an answer, for a calibration map."""
    confidence, entropy = numbers(signal, basis)
    return Evidence(confidence, entropy, call.novelty, _agreement(signal.label, call), call.neighbour_novelty)


def skips_cheap(policy: Policy, text: str) -> bool:
    """Tell whether a ticket goes straight to the big tier, by what is known before any call."""
    return policy.cheap.max_chars is not None and len(text) > policy.cheap.max_chars


@dataclass(frozen=True, slots=True)
class MemoryAnswer:
    """What the near-duplicates of a ticket answer alone."""

    label: str
    decision: Decision
    voters: tuple[Neighbour, ...]


def decide_memory(policy: Policy, ticket_id: str, neighbours: Sequence[Neighbour]) -> MemoryAnswer | None:
    """Decide whether the labelled tickets nearest to this one answer alone: accept, or review if drawn for audit.

    None if they do not: then a model is asked. The confidence is the share of the votes for the label, the entropy that
    of the votes, in nats. ``neighbours`` holds none that comes from the ticket itself.
    """
    rule = policy.memory
    if rule is None:
        return None
    voters = tuple(one for one in neighbours if one.similarity >= rule.min_similarity)
    if len(voters) < rule.min_votes:
        return None
    votes = Counter(one.label for one in voters)
    label, most = votes.most_common(1)[0]
    shares = [count / len(voters) for count in votes.values()]
    if label is None or most / len(voters) < rule.min_share:
        return None
    if policy.fitted is not None and label not in policy.fitted.labels:
        return None  # of a label that was renamed or removed since the ticket was labelled
    confidence, entropy = most / len(voters), -sum(share * math.log(share) for share in shares)
    audited = bool(policy.audit_share) and _drawn(ticket_id, policy.audit_share)
    reasons = (DecisionReason.AUDIT,) if audited else ()
    decision = Decision("review" if audited else "accept", reasons, confidence, max(0.0, entropy))
    return MemoryAnswer(label, decision, voters)


def decide_cheap(policy: Policy, ticket_id: str, call: Call | Reading) -> Decision:
    """Decide on the cheap tier's answer: accept, escalate, or review.

    A ``Reading`` is an answer that was scored without a worker: the perplexity of its text is unknown, and so is what a
    memory says, unless the caller has put it there.
    """
    signal, model, perplexity = _shown(call)
    suspicious = _suspicions(policy, perplexity)
    # The big tier's answer would not be accepted either, so it is not paid for.
    hopeless = (DecisionReason.NOVEL,) if _is_novel(policy.big, call) else ()
    if not isinstance(signal, Scored):
        return Decision(
            "review" if suspicious or hopeless else "escalate",
            (DecisionReason.NO_SIGNAL.of(signal.reason), *hopeless, *suspicious),
        )
    rule = policy.cheap
    confidence, entropy = _calibrated(policy.calibration.cheap, evidence(call, signal, policy.basis))
    reasons = _doubts(policy, signal, confidence, rule.min_confidence, rule.min_confidence_two_labels)
    if policy.fitted is not None and model != policy.fitted.cheap.model_returned:
        reasons.append(DecisionReason.MODEL_NOT_FITTED)
    if entropy >= rule.max_entropy:
        reasons.append(DecisionReason.HIGH_ENTROPY)
    reasons += _strangeness(rule, signal.label, call)
    if rule.abstain_entropy is not None and entropy >= rule.abstain_entropy:
        return Decision("review", (*reasons, DecisionReason.ABSTAINED, *suspicious), confidence, entropy)
    if suspicious:
        return Decision("review", (*reasons, *suspicious), confidence, entropy)
    if reasons and hopeless:
        return Decision("review", tuple(dict.fromkeys((*reasons, *hopeless))), confidence, entropy)
    if reasons:
        return Decision("escalate", tuple(reasons), confidence, entropy)
    if policy.audit_share and _drawn(ticket_id, policy.audit_share):
        return Decision("review", (DecisionReason.AUDIT,), confidence, entropy)
    return Decision("accept", (), confidence, entropy)


def decide_big(policy: Policy, cheap_label: str | None, call: Call | Reading) -> Decision:
    """Decide on the big tier's answer: accept or review. ``cheap_label`` is what the cheap tier named, if anything."""
    signal, model, _ = _shown(call)
    if not isinstance(signal, Scored):
        return Decision("review", (DecisionReason.NO_SIGNAL.of(signal.reason),))
    rule = policy.big
    confidence, entropy = _calibrated(policy.calibration.big, evidence(call, signal, policy.basis))
    reasons = _doubts(policy, signal, confidence, rule.min_confidence, rule.min_confidence_two_labels)
    if policy.fitted is not None and model != policy.fitted.big.model_returned:
        reasons.append(DecisionReason.MODEL_NOT_FITTED)
    if entropy > rule.max_entropy:
        reasons.append(DecisionReason.HIGH_ENTROPY)
    if cheap_label is not None and cheap_label != signal.label and entropy >= rule.disagreement_entropy:
        reasons.append(DecisionReason.TIERS_DISAGREE)
    reasons += _strangeness(rule, signal.label, call)
    return Decision("review" if reasons else "accept", tuple(reasons), confidence, entropy)


def uncertainty(calls: Sequence[Call], label_count: int) -> float:
    """Return the doubt that orders the review queue, nats.

    The entropy of the last answer over the labels and "none of them shown", and ln 2 more if the tiers disagree;
    ln(labels) without a signal.
    """
    signal = calls[-1].signal if calls else None
    if not isinstance(signal, Scored):
        return math.log(max(2, label_count))
    doubt = entropy_with_none(signal.entropy, signal.top_k_mass - signal.out_of_label)
    named = {call.signal.label for call in calls if call.signal.label is not None}
    return doubt + (math.log(2) if len(named) > 1 else 0.0)


def _shown(call: Call | Reading) -> tuple[Scored | Unscorable, str | None, TextPerplexity | None]:
    """Return the signal, the model id that the API returned, and the perplexity of the text if it was measured."""
    if isinstance(call, Reading):
        return call.signal, call.model, None
    return call.signal, call.model_returned, call.perplexity


def _calibrated(calibration: CalibrationMap | None, known: Evidence) -> tuple[float, float]:
    return (known.confidence if calibration is None else calibration.probability(known)), known.entropy


def _doubts(
    policy: Policy, signal: Scored, confidence: float, floor: float, floor_two_labels: float
) -> list[DecisionReason]:
    least = floor_two_labels if len(signal.label_probs) == 2 else floor
    reasons: list[DecisionReason] = []
    if confidence < least:
        reasons.append(DecisionReason.LOW_CONFIDENCE)
    if signal.top_k_mass < policy.min_top_k_mass:
        reasons.append(DecisionReason.LOW_TOP_K_MASS)
    return reasons


def _strangeness(rule: CheapRule | BigRule, label: str, call: Call | Reading) -> list[DecisionReason]:
    """Return what the memory holds against the answer."""
    reasons: list[DecisionReason] = []
    if _is_novel(rule, call):
        reasons.append(DecisionReason.NOVEL)
    if rule.neighbours_disagree is not None and objection(label, call) >= rule.neighbours_disagree:
        reasons.append(DecisionReason.NEIGHBOURS_DISAGREE)
    return reasons


def _is_novel(rule: CheapRule | BigRule, call: Call | Reading) -> bool:
    """Tell whether a ticket is over the rule's limit of novelty; one that no memory knows anything of is."""
    return rule.max_novelty is not None and (call.novelty is None or call.novelty > rule.max_novelty)


def objection(label: str | None, call: Call | Reading) -> float:
    """Return the share of the nearest labelled tickets that has one other label than ``label``; below 0: of none."""
    if call.neighbour_share is None or call.neighbour_label in {label, None}:
        return -1.0
    return call.neighbour_share


def _agreement(label: str, call: Call | Reading) -> float | None:
    if call.neighbour_share is None:
        return None
    if call.neighbour_label is None:
        return -1.0  # all of the nearest are out of scope
    return call.neighbour_share if call.neighbour_label == label else -call.neighbour_share


def _suspicions(policy: Policy, perplexity: TextPerplexity | None) -> tuple[str, ...]:
    return () if policy.perplexity is None or perplexity is None else risk(policy.perplexity, perplexity.result).reasons


def _drawn(ticket_id: str, share: float) -> bool:
    # By the id, not by a random number: a redelivered ticket must be decided the same way.
    return int(stable_id("audit", ticket_id)[:8], 16) < share * 2**32
