"""Hedgerow: routes support tickets by how sure the language model really was.

As a library, without Kafka, three lines score a response body and decide on it:

    from streams import LabelSet, Policy, decide_cheap, score

    reading = score(body, LabelSet(["refund", "shipping"]))
    decision = decide_cheap(Policy(), "t-1", reading)

The names in ``__all__`` are the public ones. Each is loaded when it is first used, so that ``import streams`` is cheap.
"""

from typing import TYPE_CHECKING

__all__ = ["LabelSet", "Policy", "__version__", "decide_big", "decide_cheap", "score"]

if TYPE_CHECKING:
    from streams.core.policy.policy import Policy, decide_big, decide_cheap
    from streams.core.signal.labels import LabelSet
    from streams.core.signal.score import score

    __version__: str
else:
    # A type checker does not see this function, so a misspelled name stays an error.
    _HOMES = {
        "LabelSet": "streams.core.signal.labels",
        "Policy": "streams.core.policy.policy",
        "decide_big": "streams.core.policy.policy",
        "decide_cheap": "streams.core.policy.policy",
        "score": "streams.core.signal.score",
    }

    def __getattr__(name):
        if name == "__version__":
            from importlib.metadata import version

            value = version("hedgerow")
        elif name in _HOMES:
            from importlib import import_module

            value = getattr(import_module(_HOMES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
