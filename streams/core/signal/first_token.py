"""The distribution that an answer shows at its first token: what a probe keeps."""

from __future__ import annotations

import math

from schemas.signal import Reason, Unscorable
from streams.core.signal import Answer
from streams.core.signal.alternatives import entries
from streams.core.signal.numbers import IMPOSSIBLE

#: A longer list is a fault of the endpoint; it would not fit a message either.
MAX_LISTED = 1000

#: There are no logprobs, which is a state of the endpoint that is watched; every other reason is an error of this probe.
ABSENT = frozenset({Reason.LOGPROBS_ABSENT, Reason.LOGPROBS_NULL, Reason.LOGPROBS_EMPTY, Reason.NO_ALTERNATIVES})


def first_token(answer: Answer) -> dict[str, float] | Unscorable:
    """Return token to logprob (nats) of the list at the answer's first token, or why there is none.

    The list as the API gives it: the written token counts only if it is listed, floors are left out, and of two
    tokens with the same text the last wins, as in the publication (arXiv 2512.03816).
    """
    if isinstance(answer.tokens, Unscorable):
        return answer.tokens
    listed: dict[str, float] = {}
    unreadable = False
    for text, logprob in entries(answer.tokens[0].listed):
        if logprob is None or logprob == -math.inf:
            continue
        if logprob == IMPOSSIBLE:
            return Unscorable(reason=Reason.IMPOSSIBLE_LOGPROB, detail="an alternative is above zero or not a number")
        if text is None:
            unreadable = True
        else:
            listed[text] = logprob
    if len(listed) > MAX_LISTED:
        return Unscorable(reason=Reason.UNKNOWN_SHAPE, detail=f"{len(listed)} tokens are listed at one position")
    if not listed and unreadable:
        return Unscorable(reason=Reason.UNREADABLE_TOKENS, detail="alternatives are token ids without text")
    return listed or Unscorable(reason=Reason.NO_ALTERNATIVES, detail="the first token has no alternatives")
