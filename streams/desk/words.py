"""Reasons in plain words, for people who have never read a policy."""

from __future__ import annotations

from schemas import NONE_OF_THESE, Reason
from streams.core.policy.reasons import DecisionReason
from streams.core.signal.perplexity import PerplexityReason

_DECISION = {
    DecisionReason.NO_SIGNAL: "could not say how sure it was",
    DecisionReason.LOW_CONFIDENCE: "was not sure enough of its answer",
    DecisionReason.LOW_TOP_K_MASS: "showed too little of what it considered",
    DecisionReason.HIGH_ENTROPY: "hesitated between several labels",
    DecisionReason.MODEL_NOT_FITTED: "is not the model that the rules were made for",
    DecisionReason.TIERS_DISAGREE: "disagrees with the other model",
    DecisionReason.NOVEL: "saw a ticket unlike every labelled one",
    DecisionReason.NEIGHBOURS_DISAGREE: "gave another label than the most similar labelled tickets have",
    DecisionReason.ABSTAINED: "was in such doubt that the big model was not asked",
    DecisionReason.AUDIT: "was sure; the ticket was drawn to check its work",
    DecisionReason.STRAIGHT_TO_BIG: "was not asked about this text",
    DecisionReason.ESCALATION_BUDGET: "could not ask the big model: the hour's budget is used up",
    DecisionReason.CONTRACT: "gave an answer that is not as agreed with its provider",
    DecisionReason.EXCEPTION: "was accepted under a written exception",
    DecisionReason.OUTAGE: "did not answer: its endpoint is down",
    DecisionReason.POLICY_STALE: "has changed since the rules were made",
}
_ALONE = {
    PerplexityReason.LOW: "The text is suspiciously ordinary.",
    PerplexityReason.HIGH: "The text is unusual.",
    PerplexityReason.WINDOW: "A part of the text is unusual.",
    NONE_OF_THESE: "A reviewer said that no label fits.",
}
_SIGNAL = {
    Reason.NO_ANSWER: "it gave no answer",
    Reason.CAPABILITY: "its endpoint gives no probabilities",
    Reason.REQUEST_REFUSED: "its endpoint refused the request",
    Reason.REFUSED: "it refused to answer",
    Reason.FILTERED: "a content filter stopped the answer",
    Reason.TRUNCATED: "its answer was cut off",
    Reason.NOT_A_LABEL: "its answer is none of the labels",
    Reason.LOGPROBS_ABSENT: "the probabilities are missing",
    Reason.LOGPROBS_NULL: "the probabilities are missing",
    Reason.LOGPROBS_EMPTY: "the probabilities are missing",
    Reason.BREAKER_OPEN: "it is not asked for the moment, because its answers broke the contract",
    Reason.OVER_BUDGET: "the hour's budget is spent",
}
_TIERS = {"cheap": "The cheap model", "big": "The big model"}


def in_words(reason: str) -> str:
    """Return a sentence for a reason as it stands in messages; one that is not known is shown as it is."""
    if reason in _ALONE:
        return _ALONE[reason]
    tier, _, rest = reason.partition(":")
    if tier not in _TIERS:
        tier, rest = "", reason
    name, _, which = rest.partition(":")
    said = _DECISION.get(name)  # type: ignore[call-overload]
    if said is None:
        return f"The reason is {reason}."
    more = _SIGNAL.get(which, which.replace("_", " "))  # type: ignore[call-overload]
    return f"{_TIERS.get(tier, 'The model')} {said}{f' ({more})' if more else ''}."
