"""Whether a stage only computes follows from its handler, whatever kind of callable that is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from schemas import TOPICS, Message, Ticket
from streams.delivery.stage import Stage
from tests.support.records import answer, compute


class Classifier:
    async def __call__(self, ticket: Ticket) -> Sequence[Message]:
        return []

    async def method(self, ticket: Ticket) -> Sequence[Message]:
        return []

    def compute(self, ticket: Ticket) -> Sequence[Message]:
        return []


class Scorer:
    def __call__(self, ticket: Ticket) -> Sequence[Message]:
        return []


@pytest.mark.parametrize(
    ("handler", "computes_only"),
    [
        (answer, False),
        (partial(answer), False),
        (Classifier(), False),
        (Classifier().method, False),
        (compute, True),
        (partial(compute), True),
        (Scorer(), True),
        (Classifier().compute, True),
        (lambda ticket: [], True),
    ],
)
def test_computes_only(handler: Callable[[Any], Any], computes_only: bool) -> None:
    assert Stage("test", TOPICS["tickets"], handler).computes_only is computes_only
