"""Why an answer was not accepted, or under which exception it was."""

from __future__ import annotations

from enum import StrEnum


class DecisionReason(StrEnum):
    """The reasons of decisions, as they stand in messages and metrics.

    In messages, a tier may stand before one (``cheap:low_confidence``), and a ``PerplexityReason`` may stand alongside.
    """

    NO_SIGNAL = "no_signal"
    """The answer cannot be scored; ``no_signal:`` and the ``schemas.Reason``."""
    LOW_CONFIDENCE = "low_confidence"
    """The confidence is below the policy's minimum."""
    LOW_TOP_K_MASS = "low_top_k_mass"
    """The API showed too little of the distribution."""
    HIGH_ENTROPY = "high_entropy"
    """The entropy is above the policy's maximum."""
    MODEL_NOT_FITTED = "model_not_fitted"
    """Another model answered than the policy was fitted on."""
    TIERS_DISAGREE = "tiers_disagree"
    """The tiers name different labels, and the big one is in doubt."""
    NOVEL = "novel"
    """The ticket is unlike the labelled ones, or no memory says how much it is like them."""
    NEIGHBOURS_DISAGREE = "neighbours_disagree"
    """The labelled tickets nearest to this one have another label."""
    ABSTAINED = "abstained"
    """The doubt is too great to pay for the big model."""
    AUDIT = "audit"
    """The answer would be accepted, and its ticket was drawn for audit."""
    STRAIGHT_TO_BIG = "straight_to_big"
    """The policy does not ask the cheap model about this text."""
    ESCALATION_BUDGET = "escalation_budget"
    """The hour's escalations are used up."""
    CONTRACT = "contract"
    """The answer broke its endpoint's contract; ``contract:`` and the name of the breach."""
    EXCEPTION = "exception"
    """The answer was accepted without a signal under a written exception; ``exception:`` and its id."""
    OUTAGE = "outage"
    """The cheap model's endpoint does not answer, and the settings leave such tickets to a reviewer."""
    POLICY_STALE = "policy_stale"
    """The policy was made for another model, and that is not acknowledged yet."""

    def of(self, which: str) -> str:
        """Return the reason with what it is about: ``no_signal:refused``."""
        return f"{self}:{which}"
