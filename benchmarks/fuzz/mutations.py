"""Ways to break JSON, the same ones for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

#: What a field can turn into.
JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 0.5, -0.5, 0.7, -9999.0, -100, -99.9, 1e308, -1e308, 10**400, -(10**400), math.inf,
    -math.inf, math.nan, 5e-324, "", " ", "refund", "-0.1", "\ud800", "\x00", "é\ufffd", "token_id:7", "bytes:\\xe2",
    "<0xE2>", "length", "content_filter", "tool_calls", "x" * 10_000, [], {}, [None], [[]], [{}], {"": None},
    {"token": "refund", "logprob": -0.1}, {"refund": -0.1}, [["refund", -0.1]], {"content": []}, [0] * 1000,
)  # fmt: skip


def mutate(root: list[Any], random: Random) -> None:
    """Break one thing somewhere below ``root``, in place."""
    places = list(_places(root))
    if places:
        parent, key = random.choice(places)
        random.choice(_MUTATIONS)(parent, key, random)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container and key below a node."""
    stack = [node]
    while stack:
        top = stack.pop()
        items = top.items() if isinstance(top, dict) else enumerate(top)
        for key, value in items:
            yield top, key
            if isinstance(value, dict | list) and len(value) < 100:
                stack.append(value)


def _replace(parent: Any, key: Any, random: Random) -> None:
    parent[key] = deepcopy(random.choice(JUNK))


def _remove(parent: Any, key: Any, random: Random) -> None:  # noqa: ARG001 - every mutation has this shape
    del parent[key]


def _rename(parent: Any, key: Any, random: Random) -> None:
    if isinstance(parent, dict):
        parent[random.choice(("content", "logprobs", "token", "text", "error", "message", str(key).upper()))] = (
            parent.pop(key)
        )


def _wrap(parent: Any, key: Any, random: Random) -> None:
    parent[key] = random.choice((lambda x: [x], lambda x: {"content": x}, lambda x: {str(key): x}, lambda x: [x, x]))(
        parent[key]
    )


def _bury(parent: Any, key: Any, random: Random) -> None:
    for _ in range(random.choice((1, 50, 3000))):
        parent[key] = [parent[key]]


def _nudge(parent: Any, key: Any, random: Random) -> None:
    if type(parent[key]) in (int, float) and -1e300 < parent[key] < 1e300:
        parent[key] = random.choice((-parent[key], parent[key] * 100, parent[key] / 3, parent[key] + 1))


def _scramble(parent: Any, key: Any, random: Random) -> None:
    value = parent[key]
    if isinstance(value, list) and value:
        action = random.choice(("double", "shuffle", "halve", "shift"))
        if action == "double":
            value += value
        elif action == "shuffle":
            random.shuffle(value)
        elif action == "halve":
            del value[len(value) // 2 :]
        else:
            value.append(value.pop(0))
    elif isinstance(value, str) and value:
        at = random.randrange(len(value))
        parent[key] = random.choice((value[:at], value[at:], value + value, value.upper(), value[:at] + "\udcff"))


def _swap(parent: Any, key: Any, random: Random) -> None:
    other = random.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
    parent[key], parent[other] = parent[other], parent[key]


_MUTATIONS: tuple[Callable[[Any, Any, Random], None], ...] = (
    _replace, _replace, _replace, _remove, _remove, _rename, _wrap, _bury, _nudge, _scramble, _scramble, _swap,
)  # fmt: skip
