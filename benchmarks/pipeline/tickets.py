"""The tickets that flow: the bundled ones, repeated under new ids."""

from __future__ import annotations

import itertools

import orjson

from schemas import Ticket
from streams.sandbox.tickets import DEMO, TRAIN


def texts() -> list[str]:
    """Return the texts of the bundled tickets: those that the models do not know, which end in every way, then the others."""
    return [orjson.loads(line)["text"] for path in (DEMO, TRAIN) for line in path.read_bytes().splitlines()]


def tickets(count: int, name: str = "b") -> list[Ticket]:
    """Return so many tickets, whose ids begin with ``name``."""
    repeated = itertools.cycle(texts())
    return [Ticket(ticket_id=f"{name}-{number}", text=text) for number, text in zip(range(count), repeated)]  # noqa: B905 - a cycle has no end
