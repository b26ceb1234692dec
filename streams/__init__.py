"""Routes support tickets by how sure the language model really was.

The pure part is a library, too, without Kafka:

    labels = LabelSet(["refund", "billing", "shipping"])
    signal = score(response_body, labels).signal
    decision = decide_cheap(Policy(), signal, ticket_id="t-1", model=None)

The names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.core.policy.policy import Policy, decide_big, decide_cheap
    from streams.core.signal.labels import LabelSet
    from streams.core.signal.score import score

    __version__: str

__all__ = ["LabelSet", "Policy", "__version__", "decide_big", "decide_cheap", "score"]

_PLACES = {
    "LabelSet": "streams.core.signal.labels",
    "Policy": "streams.core.policy.policy",
    "decide_big": "streams.core.policy.policy",
    "decide_cheap": "streams.core.policy.policy",
    "score": "streams.core.signal.score",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("hedgerow")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
