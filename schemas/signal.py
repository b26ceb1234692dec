"""How sure a model was about one answer, or the typed reason why that cannot be known."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.base import MAX_INTEGER, Name, Value

Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
#: No entropy and no surprise comes near the limit, and sums under it stay finite.
Nats = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
LogProb = Annotated[float, Field(le=0, allow_inf_nan=False)]


class Reason(StrEnum):
    """Why an answer cannot be scored. None of them is ever a default confidence."""

    NO_ANSWER = "no_answer"
    """The call failed: no response body to read."""
    CAPABILITY = "capability"
    """The endpoint says that it gives no logprobs (400 or 403 that names them): not an outage."""
    REQUEST_REFUSED = "request_refused"
    """The endpoint refuses this request, such as a text longer than its context."""
    NOT_JSON = "not_json"
    """The body is not JSON, or not an object."""
    ERROR_BODY = "error_body"
    """The body is the provider's error message."""
    UNKNOWN_SHAPE = "unknown_shape"
    """No known place for an answer in the body."""
    NO_CONTENT = "no_content"
    """The answer's text is empty or null."""
    REFUSED = "refused"
    """The model refused to answer."""
    FILTERED = "filtered"
    """The provider's content filter stopped the answer."""
    TOOL_CALL = "tool_call"
    """The answer is a tool call; its logprobs do not speak about the label."""
    TRUNCATED = "truncated"
    """The answer was cut before the label was complete."""
    NOT_A_LABEL = "not_a_label"
    """The answer's text is none of the labels."""
    LOGPROBS_ABSENT = "logprobs_absent"
    """The logprobs key is missing."""
    LOGPROBS_NULL = "logprobs_null"
    """The logprobs key is null."""
    LOGPROBS_EMPTY = "logprobs_empty"
    """The logprobs list is there and holds nothing."""
    NO_ALTERNATIVES = "no_alternatives"
    """Only the sampled token's logprob came back, or top_logprobs is null or empty."""
    FLOOR_LOGPROB = "floor_logprob"
    """A token of the label has no logprob, or one that stands for "not computed": null, NaN, -inf, -100, -9999."""
    IMPOSSIBLE_LOGPROB = "impossible_logprob"
    """A logprob above zero, or text where a number belongs."""
    IMPOSSIBLE_MASS = "impossible_mass"
    """The alternatives' probabilities sum to more than one."""
    REASONING_ONLY = "reasoning_only"
    """The text is a thought and no answer follows it. In version 1 of the messages it travels as ``not_a_label``."""
    MISALIGNED = "misaligned"
    """Tokens do not spell the answer, or a token's logprob contradicts its own list."""
    UNREADABLE_TOKENS = "unreadable_tokens"
    """Tokens came back as ids without their text."""
    ANSWER_TOKEN_MISSING = "answer_token_missing"  # noqa: S105 - a token of text
    """The token that carries the label cannot be found among the tokens."""
    AMBIGUOUS_LABEL = "ambiguous_label"
    """The labels share the answer's tokens and the response does not tell them apart."""
    BREAKER_OPEN = "breaker_open"
    """The endpoint was not asked: it broke its contract, and its breaker lets only a trial call through now and then."""
    OVER_BUDGET = "over_budget"
    """The endpoint was not asked: the hour's budget is spent."""


class Scored(Value):
    """One answer with its numbers, in label space and in token space."""

    status: Literal["scored"] = "scored"
    label: Name
    """The label that was answered."""
    confidence: Probability
    """The answered label's mass as returned, not renormalised: what the API did not show counts as doubt."""
    entropy: Nats
    """Of ``label_probs``."""
    decision_entropy: Nats | None = None
    """Of the labels and one more outcome, everything shown that counts for no label: what the policy compares. None in
    messages that were written before it was there; ``decides`` computes it then."""
    token_confidence: Probability
    """exp(logprob of the first answer token)."""
    token_entropy: Nats
    """Over the renormalised distribution shown at the first answer token."""
    top_k_mass: Probability
    """Probability shown at the first answer token, before renormalising: the list and the token that was written."""
    k: Annotated[int, Field(ge=1, le=MAX_INTEGER)]
    """How many tokens were listed with a usable logprob at the first answer token."""
    label_probs: dict[str, Probability]
    """Each label's share of the labels' mass: renormalised, so that the shares sum to 1. Every label of the set is listed."""
    out_of_label: Probability
    """Shown mass that counts for no label, of tokens that fit none, or several that could not be told apart.
    With the labels' masses it adds up to ``top_k_mass``."""
    margin: Probability
    """Likeliest label's probability less the second's, in ``label_probs``."""
    min_logprob: LogProb
    """Smallest logprob of a token over the answer's span, nats."""
    mean_logprob: LogProb
    """Mean logprob over the answer's span, nats."""

    @property
    def decides(self) -> float:
        """The entropy that decides, nats."""
        if self.decision_entropy is not None:
            return self.decision_entropy
        return entropy_with_none(self.entropy, 1 - self.out_of_label / self.top_k_mass if self.top_k_mass > 0 else 1.0)


def entropy_with_none(label_entropy: float, share: float) -> float:
    """Return the entropy in nats of the labels and one more outcome, "none of them".

    ``share`` is what the labels have of the mass, and ``label_entropy`` the entropy of the labels by themselves.
    """
    share = min(1.0, max(0.0, share))
    return share * label_entropy - sum(part * math.log(part) for part in (share, 1 - share) if part > 0)


class Unscorable(Value):
    """One answer without a usable signal, and why."""

    status: Literal["unscorable"] = "unscorable"
    reason: Annotated[Reason | str, Field(union_mode="left_to_right")]
    """One of Reason, or a name that a newer writer knows: an older reader treats it as what it is, no signal."""
    detail: str = ""
    """One line for a reader; never the ticket's text, never a secret."""
    label: Name | None = None
    """The label that the text names, if it names one: shown to a reviewer, never accepted."""

    def in_version_1(self) -> Unscorable:
        """Return the same for version 1 of the messages, whose readers do not know ``reasoning_only``."""
        if self.reason is not Reason.REASONING_ONLY:
            return self
        return Unscorable(reason=Reason.NOT_A_LABEL, detail=f"{self.reason}: {self.detail}", label=self.label)


Signal = Annotated[Scored | Unscorable, Field(discriminator="status")]
