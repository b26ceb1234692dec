"""What the faults that spoil an answer do to its body, in both shapes of logprobs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from streams.sandbox.model_server.faults import Fault, FaultName
from streams.sandbox.model_server.wire import Body

OTHER_MODEL = "sandbox-other-2026-09-15"
"""The id in the body under `FaultName.WRONG_MODEL`."""


def spoil(body: Body, fault: Fault) -> None:
    """Change ``body`` in place as ``fault`` does; faults that leave the body alone change nothing.

    Choices without logprobs stay as they are, but for the model's id; so do embeddings.
    """
    if fault.name is FaultName.WRONG_MODEL:
        body["model"] = OTHER_MODEL
    elif fault.name in _DAMAGE:
        for choice in body.get("choices", ()):
            if choice["logprobs"] is not None:
                _DAMAGE[fault.name](choice, fault.amount)


def _null(choice: Body, _: float) -> None:
    choice["logprobs"] = None


def _absent(choice: Body, _: float) -> None:
    del choice["logprobs"]


def _empty(choice: Body, _: float) -> None:
    logprobs = choice["logprobs"]
    choice["logprobs"] = {key: [] if isinstance(value, list) else value for key, value in logprobs.items()}


def _no_alternatives(choice: Body, _: float) -> None:
    _truncated(choice, 0)


def _truncated(choice: Body, amount: float) -> None:
    """Keep the first few alternatives at each position."""
    left = int(amount)
    if "content" in choice["logprobs"]:
        for entry in choice["logprobs"]["content"]:
            entry["top_logprobs"] = entry["top_logprobs"][:left]
    else:
        choice["logprobs"]["top_logprobs"] = [
            dict(list(top.items())[:left]) if top is not None else None for top in choice["logprobs"]["top_logprobs"]
        ]


def _positive(choice: Body, amount: float) -> None:
    _overwrite(choice["logprobs"], amount)


def _nan(choice: Body, _: float) -> None:
    _overwrite(choice["logprobs"], math.nan)


def _overwrite(logprobs: dict[str, Any], value: float) -> None:
    """Give the last token ``value`` for a logprob, in its own field and in its list of alternatives."""
    if logprobs.get("content"):
        entry = logprobs["content"][-1]
        for place in _places(entry):
            place["logprob"] = value
    elif logprobs.get("tokens"):
        logprobs["token_logprobs"][-1] = value
        if logprobs["top_logprobs"][-1] is not None:
            logprobs["top_logprobs"][-1][logprobs["tokens"][-1]] = value


def _places(entry: Body) -> Iterator[Body]:
    yield entry
    yield from (other for other in entry["top_logprobs"] if other["token"] == entry["token"])


_DAMAGE: dict[FaultName, Callable[[Body, float], None]] = {
    FaultName.LOGPROBS_NULL: _null,
    FaultName.LOGPROBS_ABSENT: _absent,
    FaultName.LOGPROBS_EMPTY: _empty,
    FaultName.TOP_LOGPROBS_EMPTY: _no_alternatives,
    FaultName.TRUNCATED_K: _truncated,
    FaultName.POSITIVE_LOGPROB: _positive,
    FaultName.NAN_LOGPROB: _nan,
}
