"""Asks both tiers about every ticket, whatever a policy would have done, and keeps the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas import Call, InvalidMessage, Reason, Ticket, Unscorable
from streams.core.calibration.records import Record
from streams.errors import SettingsError
from streams.models.classifier import ModelClient
from streams.record_file import RecordFile

#: Tickets in progress at once; each is one call to either tier.
_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Tickets:
    """The rows of a file: each ticket id once, and how many rows were left out."""

    tickets: tuple[Ticket, ...]
    invalid: int
    """Rows that are no valid ticket."""
    repeated: int
    """Rows with the ticket id of an earlier one."""


def read_tickets(lines: Iterable[bytes]) -> Tickets:
    """Read tickets from JSON lines."""
    tickets: dict[str, Ticket] = {}
    invalid = repeated = 0
    for line in lines:
        try:
            ticket = Ticket.decode(line)
        except InvalidMessage:
            invalid += 1
            continue
        repeated += ticket.ticket_id in tickets
        tickets.setdefault(ticket.ticket_id, ticket)
    return Tickets(tuple(tickets.values()), invalid, repeated)


async def evaluate(
    tickets: Sequence[Ticket],
    cheap: ModelClient,
    big: ModelClient,
    file: RecordFile,
    *,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Ask about every ticket that the file does not hold yet; return how many got no answer and are left for later.

    ``progress`` is called after each ticket. Raises SettingsError where the file holds answers of another model or to
    another prompt, and StopWorker for a key or model that an endpoint does not know.
    """
    for client in (cheap, big):
        _refuse_others(file.records, client)
    known = {record.ticket.ticket_id for record in file.records}
    waiting = iter([ticket for ticket in tickets if ticket.ticket_id not in known])
    workers = [asyncio.create_task(_work(waiting, cheap, big, file, progress)) for _ in range(_IN_FLIGHT)]
    try:
        return sum(await asyncio.gather(*workers))
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _work(
    waiting: Iterator[Ticket], cheap: ModelClient, big: ModelClient, file: RecordFile, progress: Callable[[], None]
) -> int:
    unanswered = 0
    for ticket in waiting:
        one, other = await asyncio.gather(cheap.ask(ticket.text), big.ask(ticket.text))
        if _answered(one) and _answered(other):
            file.add(Record(ticket=ticket, cheap=one, big=other))
        else:
            unanswered += 1
        progress()
    return unanswered


def _answered(call: Call) -> bool:
    """An outage says nothing about the model: such a ticket is asked about again next time."""
    return not (isinstance(call.signal, Unscorable) and call.signal.reason is Reason.NO_ANSWER)


def _refuse_others(records: Sequence[Record], client: ModelClient) -> None:
    for record in records:
        call = record.cheap if client.tier == "cheap" else record.big
        if (call.model_asked, call.prompt_hash) != (client.endpoint.model, client.prompt_hash):
            raise SettingsError(
                f"the record file holds answers of {call.model_asked} to the prompt {call.prompt_hash}, not of "
                f"{client.endpoint.model} to {client.prompt_hash} ({client.tier} tier): name another file"
            )
