"""classify: asks the cheap model about a ticket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from schemas import Call, Classification, Ticket

#: Asks one tier about one text and returns the call, whatever came of it.
Ask = Callable[[str], Awaitable[Call]]


def classify(ask: Ask) -> Callable[[Ticket], Awaitable[Sequence[Classification]]]:
    """Return the handler Ticket -> Classification."""

    async def handle(ticket: Ticket) -> Sequence[Classification]:
        return (Classification(ticket=ticket, call=await ask(ticket.text)),)

    return handle
