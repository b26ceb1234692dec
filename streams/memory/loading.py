"""What loading a file changes of the memory, and how its rows become examples."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from schemas import Example
from streams.core.memory.vector_bytes import packed
from streams.core.signal.redaction import Redaction
from streams.core.wording import counted
from streams.embedding.embedder import Embedder
from streams.errors import SettingsError
from streams.kafka.ticket_rows import Fault, Refusals
from streams.memory.labelled_rows import LabelledRow, read_row

#: The most labelled tickets that a file may have: more than a worker may keep.
MAX_ROWS = 1_000_000
_CHUNK = 256
"""Examples that are embedded together and sent together: a killed command may have to embed this many again."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rows:
    """The labelled tickets of a file: the last row of each id, the rows that it replaces, and those that are refused."""

    by_id: Mapping[str, LabelledRow]
    repeated: int
    refusals: Refusals


@dataclass(slots=True)
class Changes:
    """What loading some rows changes."""

    added: list[LabelledRow] = field(default_factory=list)
    replaced: list[LabelledRow] = field(default_factory=list)
    """Those whose example says something else."""
    same: int = 0
    verdicts: int = 0
    """Those whose example is a verdict, which a file does not replace."""

    @property
    def all(self) -> list[LabelledRow]:
        """Those to load."""
        return self.added + self.replaced


def read_rows(
    rows: Iterable[tuple[int, bytes | Fault]], labels: Collection[str], redactions: Sequence[Redaction]
) -> Rows:
    """Read and check every row of a file; raises SettingsError for a file of more than ``MAX_ROWS``."""
    by_id: dict[str, LabelledRow] = {}
    refusals, repeated = Refusals(), 0
    for number, line in rows:
        row = read_row(line, labels, redactions)
        if isinstance(row, Fault):
            refusals.add(number, row)
            continue
        repeated += by_id.pop(row.example_id, None) is not None
        by_id[row.example_id] = row
        if len(by_id) > MAX_ROWS:
            raise SettingsError(f"line {number}: more than {MAX_ROWS} labelled tickets")
    return Rows(by_id, repeated, refusals)


def changes(rows: Iterable[LabelledRow], known: Callable[[str], Example | None]) -> Changes:
    """Return what loading these rows changes of the examples that are ``known`` by their ids."""
    found = Changes()
    for row in rows:
        example = known(row.example_id)
        if example is None:
            found.added.append(row)
        elif _says(example) == (row.ticket_id, row.text, row.label, row.slice, row.verdict_by):
            found.same += 1
        elif example.source == "verdict" and (row.verdict_by is None or (row.verdict_at_ms or 0) <= example.at_ms):
            found.verdicts += 1
        else:
            found.replaced.append(row)
    return found


def _says(example: Example) -> tuple[str | None, ...]:
    verdict_by = example.by if example.source == "verdict" else None
    return example.ticket_id, example.text, example.label, example.slice, verdict_by


async def embedded(
    rows: Sequence[LabelledRow], embedder: Embedder, *, by: str, at_ms: int
) -> AsyncGenerator[list[Example | None], None]:
    """Yield the examples of these rows in their order, some hundred at a time; None for a text without an embedding.

    ``by`` loads them, at ``at_ms`` (Unix time in milliseconds).
    """

    def example(row: LabelledRow, vector: bytes) -> Example:
        verdict = row.verdict_by is not None
        return Example(
            example_id=row.example_id,
            ticket_id=row.ticket_id,
            text=row.text,
            label=row.label,
            slice=row.slice,
            source="verdict" if verdict else "file",
            by=row.verdict_by or by,
            at_ms=at_ms if row.verdict_at_ms is None or not verdict else row.verdict_at_ms,
            embedding_model=embedder.model,
            vector=vector,
        )

    async for some in _in_chunks(rows, lambda row: row.text, example, embedder):
        yield some


async def embedded_again(examples: Sequence[Example], embedder: Embedder) -> AsyncGenerator[list[Example | None], None]:
    """Yield these examples with the vectors of this embedder, as ``embedded`` does."""

    def again(example: Example, vector: bytes) -> Example:
        return example.model_copy(update={"embedding_model": embedder.model, "vector": vector})

    async for some in _in_chunks(examples, lambda example: example.text, again, embedder):
        yield some


async def _in_chunks(
    items: Sequence[T], text_of: Callable[[T], str], example: Callable[[T, bytes], Example], embedder: Embedder
) -> AsyncGenerator[list[Example | None], None]:
    for start in range(0, len(items), _CHUNK):
        some = items[start : start + _CHUNK]
        vectors = packed(await embedder.embed([text_of(item) for item in some]))
        # A text that the model refuses has a vector of zeros.
        yield [example(item, vector) if any(vector) else None for item, vector in zip(some, vectors, strict=True)]


def is_same_again(example: Example, before: Example | None) -> bool:
    """Whether an example that was embedded again still is what it was ``before``, but for its vector."""
    return before is not None and example == before.model_copy(
        update={"embedding_model": example.embedding_model, "vector": example.vector}
    )


def require_model(examples: Iterable[Example], model: str) -> None:
    """Return if all vectors are of this embedding model; raises SettingsError that says what makes them so."""
    others = [example.embedding_model for example in examples if example.embedding_model != model]
    if others:
        raise SettingsError(
            f"the vectors of {counted(len(others), 'example')} are of {others[0]!r}, and the embedding model is {model!r}: "
            "hedgerow memory rebuild makes them again"
        )
