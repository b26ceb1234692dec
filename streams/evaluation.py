"""Asks both tiers about every ticket of a file, whatever a policy would have done, and keeps the answers in a file of records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas import Call, InvalidMessage, Neighbour, Reason, Ticket, Unscorable
from streams.core.calibration.records import Record, read_record
from streams.core.memory.recall import NEAR, Recalled
from streams.core.policy.fitted import FittedMemory, with_memory
from streams.errors import SettingsError
from streams.files import UTF_8, encoding_of, numbered_lines
from streams.kafka.ticket_rows import Fault
from streams.memory.memory import Memory
from streams.models.classifier import ModelClient, with_recalled


def read_records(path: Path) -> list[Record]:
    """Read every record; raises SettingsError for a file that cannot be read, holds none, or a line that is none."""
    records = _read(_content(path), path)
    if not records:
        raise SettingsError(f"records file {path}: no records")
    return records


class RecordFile:
    """A record file that grows, as a context manager. What it already holds is in ``records``; a line that a crash cut
    off is dropped."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError if the file holds anything but records."""
        content = _content(path) if path.exists() else b""
        encoding = encoding_of(content)
        if encoding is not None and encoding is not UTF_8:
            raise SettingsError(f"records file {path}: {encoding.name}; save it as UTF-8 to add records to it")
        self._whole = content.rfind(b"\n") + 1
        self._path = path
        self.records = _read(content[: self._whole], path)

    def __enter__(self) -> Self:
        try:
            self._file = self._path.open("ab")
            self._file.truncate(self._whole)
        except OSError as error:
            raise SettingsError(f"records file {self._path}: {error.strerror}") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Append one record; it is on its way to the disk when this returns."""
        self._file.write(record.model_dump_json().encode() + b"\n")
        self._file.flush()
        self.records.append(record)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"records file {path}: {error.strerror}") from None


def _read(content: bytes, path: Path) -> list[Record]:
    lines = numbered_lines(BytesIO(content), f"records file {path}")
    return [read_record(line, f"line {number} of {path}") for number, line in lines]


#: Tickets in progress at once; each is one call to either tier.
_IN_FLIGHT = 64


@dataclass(frozen=True, slots=True)
class Tickets:
    """The rows of a file: each ticket id once, and how many rows were left out."""

    tickets: tuple[Ticket, ...]
    invalid: int
    """Rows that are invalid tickets."""
    repeated: int
    """Rows with the ticket id of an earlier one."""


def read_tickets(rows: Iterable[bytes | Fault]) -> Tickets:
    """Read tickets from rows in JSON."""
    tickets: dict[str, Ticket] = {}
    invalid = repeated = 0
    for row in rows:
        ticket = None if isinstance(row, Fault) else _ticket(row)
        if ticket is None:
            invalid += 1
            continue
        repeated += ticket.ticket_id in tickets
        tickets.setdefault(ticket.ticket_id, ticket)
    return Tickets(tuple(tickets.values()), invalid, repeated)


def _ticket(row: bytes) -> Ticket | None:
    try:
        return Ticket.decode(row)
    except InvalidMessage:
        return None


async def evaluate(
    tickets: Sequence[Ticket],
    cheap: ModelClient,
    big: ModelClient,
    file: RecordFile,
    memory: Memory | None = None,
    *,
    looked_up: Callable[[int], None] = lambda _: None,
    progress: Callable[[], None] = lambda: None,
) -> int:
    """Ask about every ticket that the file does not hold yet; return how many got no answer and are left for later.

    With a ``memory``, each ticket is asked about with the examples most like it. ``looked_up`` is called with
    how many more were looked up, ``progress`` after each that was asked about. Raises SettingsError if the file holds
    answers of another model, to another prompt or with another memory, and StopWorker for a key or model that an endpoint does not know.
    """
    for client in (cheap, big):
        _refuse_others(file.records, client)
    fitted = None if memory is None else memory.fitted
    _refuse_other_memory(file.records, fitted)
    known = {record.ticket.ticket_id for record in file.records}
    left = [ticket for ticket in tickets if ticket.ticket_id not in known]
    recalled = [Recalled()] * len(left) if memory is None else await memory.recall(left, progress=looked_up)
    waiting = zip(left, recalled, strict=True)
    workers = [asyncio.create_task(_work(waiting, cheap, big, fitted, file, progress)) for _ in range(_IN_FLIGHT)]
    try:
        return sum(await asyncio.gather(*workers))
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def recalled_again(records: Sequence[Record], memory: Memory | None) -> list[Record]:
    """Return the records with what this memory says of their tickets, or with nothing of any; the answers stay as they are."""
    fitted = None if memory is None else memory.fitted
    found = [Recalled()] * len(records) if memory is None else await memory.recall([one.ticket for one in records])
    return [
        record.model_copy(
            update={
                "cheap": with_recalled(record.cheap, recalled),
                "big": with_recalled(record.big, recalled),
                "memory": fitted,
                "near": _near(recalled),
            }
        )
        for record, recalled in zip(records, found, strict=True)
    ]


def _near(recalled: Recalled) -> tuple[Neighbour, ...]:
    return tuple(one.neighbour for one in recalled.neighbours if one.similarity >= NEAR)


async def _work(
    waiting: Iterator[tuple[Ticket, Recalled]],
    cheap: ModelClient,
    big: ModelClient,
    memory: FittedMemory | None,
    file: RecordFile,
    progress: Callable[[], None],
) -> int:
    unanswered = 0
    for ticket, recalled in waiting:
        one, other = await asyncio.gather(cheap.ask(ticket.text, recalled), big.ask(ticket.text, recalled))
        if _answered(one) and _answered(other):
            file.add(Record(ticket=ticket, cheap=one, big=other, memory=memory, near=_near(recalled)))
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


def _refuse_other_memory(records: Sequence[Record], wanted: FittedMemory | None) -> None:
    for found in {record.memory for record in records}:
        if (found and found.rule) != (wanted and wanted.rule):
            raise SettingsError(
                f"the record file holds answers {with_memory(found)}, not {with_memory(wanted)}: name another file"
            )
