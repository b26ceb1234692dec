"""hedgerow memory: the labelled tickets on the topic ``memory``, from which models are shown examples."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from schemas import ExampleSource
from streams.cli.embedding_progress import progress_bar
from streams.cli.login import login_name
from streams.cli.message_lines import label_text, time_of
from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.refused_rows import refused_json, show_refused
from streams.cli.runtime import now_ms, run
from streams.cli.tables import Column, show_table
from streams.cli.terminal import hanging, one_line
from streams.core.wording import counted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from schemas import Example
    from streams.kafka.example_book import ExampleBook, ExampleTopic
    from streams.memory.loading import Changes, Rows
    from streams.models.embeddings import EmbeddingEndpoint
    from streams.settings import MemorySettings, Settings

app = typer.Typer(
    help="Load, list, forget and export the labelled tickets that models are shown examples from.", no_args_is_help=True
)

#: How many examples without an embedding are named.
_NAMED = 20

Labels = Annotated[list[str] | None, typer.Option("--label", help="Only examples with this label; may be repeated")]
NoLabel = Annotated[bool, typer.Option("--none", help="Only examples that fit no label; with --label, those too")]
Source = Annotated[
    ExampleSource | None, typer.Option(help="Only examples that a file, or a reviewer's verdict, brought")
]
Slice = Annotated[str | None, typer.Option("--slice", help="Only examples of this part of a file")]
Words = Annotated[str | None, typer.Option("--text", help="Only examples whose text has these words, in any case")]
By = Annotated[str | None, typer.Option(help="Name of the person who does this (default: login name)")]


@dataclass(frozen=True, slots=True)
class _Filter:
    """Which examples are meant: those that fit all that is given."""

    labels: Sequence[str] | None
    none: bool
    source: ExampleSource | None
    slice: str | None
    words: str | None

    def of(self, examples: Iterable[Example]) -> list[Example]:
        """Return those, the newest first."""
        return sorted(filter(self._fits, examples), key=lambda example: (-example.at_ms, example.example_id))

    def _fits(self, example: Example) -> bool:
        if (self.labels or self.none) and not (
            self.none if example.label is None else example.label in (self.labels or ())
        ):
            return False
        if self.source not in (None, example.source) or self.slice not in (None, example.slice):
            return False
        return self.words is None or self.words.casefold() in example.text.casefold()


@app.command()
def load(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSONL, .csv or .tsv file of {text, label?, ticket_id?, slice?}; - for JSONL on standard input"
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Load the valid rows even if others are refused")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every row, then embed and send those that the memory does not have yet; exit 1 if any row is refused.

    A row without a label is a ticket that fits none. Rows that are there already are left out, so the command can be run
    again after whatever ended it. A row replaces the example of its ticket_id, or of its text if it has none, unless that
    example is a reviewer's verdict.
    """
    from streams.files import line_file
    from streams.memory.labelled_rows import labelled_rows
    from streams.memory.loading import read_rows

    settings, who = _load(config), by or login_name()
    with line_file(file, "memory") as lines:
        rows = read_rows(labelled_rows(file, lines), settings.label_set.labels, settings.redact)
    held = len(rows.by_id) if rows.refusals.count and not skip_bad else 0
    done = _Loaded()
    if rows.by_id and not held:
        done = run(_load_all(rows, who, settings, dry_run=dry_run))
    if as_json:
        print(orjson.dumps(done.json(rows) | refused_json(rows.refusals)).decode())
    else:
        print(done.text(rows, dry_run=dry_run))
        show_refused(rows.refusals, held, "loaded", "loads")
        done.warn(settings.memory)
    if rows.refusals.count or done.without_vector:
        raise typer.Exit(1)


@dataclass(slots=True)
class _Loaded:
    """What became of the rows."""

    added: int = 0
    replaced: int = 0
    same: int = 0
    verdicts: int = 0
    cut: int = 0
    without_vector: int = 0
    """Those whose text the embedding model refuses."""
    total: int | None = None
    """Examples in the memory afterwards; None if it was not looked at."""
    said: str | None = None
    """What is wrong with the texts for this embedding model."""

    def count(self, changes: Changes) -> None:
        """Count what is sent, and what came meanwhile and makes that needless."""
        self.added += len(changes.added)
        self.replaced += len(changes.replaced)
        self.same += changes.same
        self.verdicts += changes.verdicts

    def json(self, rows: Rows) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "added": self.added,
            "replaced": self.replaced,
            "there_already": self.same,
            "verdicts_kept": self.verdicts,
            "repeated": rows.repeated,
            "texts_cut": self.cut,
            "without_embedding": self.without_vector,
            "examples": self.total,
        }

    def text(self, rows: Rows, *, dry_run: bool) -> str:
        """Return it as a line."""
        would = " would be" if dry_run else ""
        counts = (
            (self.same, "there already"),
            (self.verdicts, "not replaced, for a verdict is there"),
            (rows.repeated, "row repeated by a later one" if rows.repeated == 1 else "rows repeated by a later one"),
            (self.cut, "text cut" if self.cut == 1 else "texts cut"),
            (self.without_vector, "without an embedding, and not loaded"),
        )
        others = "".join(f", {count} {what}" for count, what in counts if count)
        return f"{counted(self.added, 'example')}{would} added, {self.replaced}{would} replaced{others}"

    def warn(self, memory: MemorySettings | None) -> None:
        """Say, to standard error, what workers will not do with it."""
        if self.total is None:
            return
        if self.said is not None:
            print(self.said, file=sys.stderr)
        if memory is None or not memory.on_topic:
            said = "have no memory" if memory is None else f"read {memory.file}"
            print(f"workers with these settings {said}: memory: {{}} lets them follow the topic", file=sys.stderr)
        elif self.total > memory.max_examples:
            print(
                f"the memory has {counted(self.total, 'example')} and a worker keeps memory.max_examples ({memory.max_examples}): "
                "the oldest of the most crowded labels are dropped there",
                file=sys.stderr,
            )


async def _load_all(rows: Rows, who: str, settings: Settings, *, dry_run: bool) -> _Loaded:
    """Load what the memory does not have yet; raises SettingsError if its vectors are of another embedding model."""
    from streams.memory.english_only import EnglishOnly
    from streams.memory.loading import changes, embedded, require_model
    from streams.memory.open_memory import open_embedder

    async with open_embedder(_embedding(settings), threads=0, kept=True) as embedder, _topic(settings) as topic:
        require_model(topic.book.examples, embedder.model)
        found = changes(rows.by_id.values(), topic.book.get)
        done = _Loaded(same=found.same, verdicts=found.verdicts, cut=sum(row.cut for row in found.all))
        done.said = EnglishOnly(embedder.model).look([row.text for row in found.all])
        if dry_run:
            done.added, done.replaced = len(found.added), len(found.replaced)
            done.total = len(topic.book.examples) + done.added
            return done

        def is_wanted(example: Example) -> bool:
            """Whether it is still to be sent: meanwhile a reviewer may have decided its ticket."""
            now = changes([rows.by_id[example.example_id]], topic.book.get)
            done.count(now)
            return bool(now.all)

        chunks = embedded(found.all, embedder, by=who, at_ms=now_ms())
        done.without_vector = await _send_all(chunks, [row.example_id for row in found.all], topic, is_wanted)
        await topic.read_on()
        done.total = len(topic.book.examples)
    return done


async def _send_all(
    chunks: AsyncGenerator[list[Example | None], None],
    ids: Sequence[str],
    topic: ExampleTopic,
    is_wanted: Callable[[Example], bool],
) -> int:
    """Send those of the examples that are wanted as they come; name those without an embedding, and return how many these are."""
    refused: list[str] = []
    waiting = iter(ids)
    async with aclosing(chunks):
        with progress_bar() as progress:
            task = progress.add_task("embedding and sending", total=len(ids))
            async for some in chunks:
                await topic.read_on()
                await topic.put([example for example in some if example is not None and is_wanted(example)])
                refused += [name for example, name in zip(some, waiting, strict=False) if example is None]
                progress.advance(task, len(some))
    for name in refused[:_NAMED]:
        print(one_line(f"no embedding of the text of {name!r}: the model knows none of it"), file=sys.stderr)
    if len(refused) > _NAMED:
        print(f"and {len(refused) - _NAMED} more", file=sys.stderr)
    return len(refused)


@app.command("list")
def list_examples(
    config: Config = DEFAULT_CONFIG,
    label: Labels = None,
    none: NoLabel = False,
    source: Source = None,
    part: Slice = None,
    words: Words = None,
    limit: Annotated[int, typer.Option("--max", min=1, help="Maximum number of rows")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the examples, the newest first."""
    examples = run(_read(_load(config))).examples
    found = _Filter(label, none, source, part, words).of(examples)
    shown = found[:limit]
    if as_json:
        for example in shown:
            print(orjson.dumps(_row(example)).decode())
        return
    columns = [Column("example"), Column("label"), Column("from"), Column("by"), Column("when"), Column("text", "cut")]
    rows = [
        [each.example_id, label_text(each.label), each.source, each.by, time_of(each.at_ms)[:10], each.text]
        for each in shown
    ]
    more = f", the newest {limit} of them" if len(found) > limit else ""
    show_table(columns, rows, title=f"{len(found)} of {counted(len(examples), 'example')}{more}")


@app.command()
def forget(
    examples: Annotated[
        list[str], typer.Argument(help="Examples by their ids, as list shows them; a ticket's by its id")
    ],
    config: Config = DEFAULT_CONFIG,
    by: By = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which examples would be forgotten")] = False,
    as_json: AsJson = False,
) -> None:
    """Forget examples: no model is shown them any more, and they are deleted as the broker compacts the topic.

    Exit 1 if one of them is not there. Loading the file that brought one brings it back.
    """
    settings, who = _load(config), by or login_name()
    there, absent = run(_forget(list(dict.fromkeys(examples)), who, settings, dry_run=dry_run))
    if as_json:
        print(orjson.dumps({"forgotten": 0 if dry_run else len(there), "examples": there, "absent": absent}).decode())
    else:
        for each in there if dry_run else ():
            print(one_line(each))
        print(f"{counted(len(there), 'example')}{' would be' if dry_run else ''} forgotten")
        for each in absent:
            print(one_line(f"no example {each!r}: hedgerow memory list shows what there is"), file=sys.stderr)
    if absent:
        raise typer.Exit(1)


async def _forget(wanted: Sequence[str], who: str, settings: Settings, *, dry_run: bool) -> tuple[list[str], list[str]]:
    """Return the ids of those that are there, and are forgotten now, and of those that are not."""
    async with _topic(settings) as topic:
        there = [each for each in wanted if topic.book.get(each) is not None]
        if not dry_run:
            await topic.forget(there, who)
        absent = [each for each in wanted if topic.book.get(each) is None]
    return there, absent


@app.command()
def stats(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Say how many examples there are of each label and source, and whether workers can use all of them."""
    settings = _load(config)
    book = run(_read(settings))
    figures = _figures(book, settings)
    if as_json:
        print(orjson.dumps(figures).decode())
        return
    labels = [(label, str(count)) for label, count in figures["labels"].items()]
    labels.append(("none of the labels", str(figures["out_of_scope"])))
    most = f"at most {figures['max_examples']} in a worker"
    show_table(
        (Column("label"), Column("examples", right=True)),
        labels,
        title=f"{counted(figures['examples'], 'example')}, {most}",
    )
    console = Console()
    for head, name in (("from: ", "sources"), ("embedded by: ", "embedding_models")):
        counts = ", ".join(f"{each} ({count})" for each, count in figures[name].items())
        print(hanging(head, one_line(counts or "nothing"), console))
    for line in _worries(figures):
        print(one_line(line), file=sys.stderr)


def _figures(book: ExampleBook, settings: Settings) -> dict[str, Any]:
    """Return what is counted of the examples."""
    from streams.settings import MemorySettings

    examples = book.examples
    labels = Counter(example.label for example in examples if example.label is not None)
    times = [example.at_ms for example in examples]
    return {
        "examples": len(examples),
        "labels": dict(labels.most_common()) | {name: 0 for name in settings.labels if name not in labels},
        "out_of_scope": sum(example.label is None for example in examples),
        "sources": dict(Counter(example.source for example in examples).most_common()),
        "embedding_models": dict(Counter(example.embedding_model for example in examples).most_common()),
        "unknown_labels": sorted(labels.keys() - set(settings.labels)),
        "invalid": book.invalid,
        "max_examples": (settings.memory or MemorySettings()).max_examples,
        "oldest_at_ms": min(times, default=None),
        "newest_at_ms": max(times, default=None),
    }


def _worries(figures: dict[str, Any]) -> list[str]:
    """Return what keeps workers from using all examples."""
    found = []
    if len(figures["embedding_models"]) > 1:
        found.append("vectors of two embedding models cannot be compared: hedgerow memory rebuild makes them again")
    if figures["unknown_labels"]:
        found.append(f"not among the labels of the settings, and not shown: {', '.join(figures['unknown_labels'])}")
    if figures["examples"] > figures["max_examples"]:
        found.append("more than memory.max_examples: a worker drops the oldest of the most crowded labels")
    if figures["invalid"]:
        invalid = counted(
            figures["invalid"], "record of the topic is no example", "records of the topic are no examples"
        )
        found.append(f"{invalid}: hedgerow consume memory shows them")
    return found


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="JSONL, .csv or .tsv file to write; - for JSONL on standard output")],
    config: Config = DEFAULT_CONFIG,
    label: Labels = None,
    none: NoLabel = False,
    source: Source = None,
    part: Slice = None,
    words: Words = None,
) -> None:
    """Write the examples to a file that load reads; verdicts stay verdicts."""
    from streams.memory.exporting import write_rows

    found = _Filter(label, none, source, part, words).of(run(_read(_load(config))).examples)
    write_rows(file, list(reversed(found)))
    print(f"{counted(len(found), 'example')} written", file=sys.stderr)


@app.command()
def rebuild(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Embed the examples again whose vectors are of another embedding model.

    It can be run again after whatever ended it. Workers take examples of their own embedding model only.
    """
    rebuilt, kept, refused = run(_rebuild(_load(config)))
    if as_json:
        print(orjson.dumps({"rebuilt": rebuilt, "kept": kept, "without_embedding": refused}).decode())
    else:
        left = f", {refused} without an embedding, and left as they are" if refused else ""
        print(f"{counted(rebuilt, 'example')} embedded again, {kept} had such a vector already{left}")
    if refused:
        raise typer.Exit(1)


async def _rebuild(settings: Settings) -> tuple[int, int, int]:
    """Return how many were embedded again, how many needed not, and how many cannot be."""
    from streams.memory.loading import embedded_again, is_same_again
    from streams.memory.open_memory import open_embedder

    async with open_embedder(_embedding(settings), threads=0, kept=True) as embedder, _topic(settings) as topic:
        others = [example for example in topic.book.examples if example.embedding_model != embedder.model]
        kept, rebuilt = len(topic.book.examples) - len(others), 0

        def is_wanted(example: Example) -> bool:
            """Whether it is still the same: meanwhile it may have been forgotten, or decided."""
            nonlocal rebuilt
            same = is_same_again(example, topic.book.get(example.example_id))
            rebuilt += same
            return same

        ids = [example.example_id for example in others]
        refused = await _send_all(embedded_again(others, embedder), ids, topic, is_wanted)
    return rebuilt, kept, refused


def _load(config: Config) -> Settings:
    from streams.settings import load_settings

    return load_settings(config)


def _embedding(settings: Settings) -> EmbeddingEndpoint | None:
    return None if settings.memory is None else settings.memory.embedding


def _topic(settings: Settings) -> AbstractAsyncContextManager[ExampleTopic]:
    from streams.kafka.example_book import example_topic

    return example_topic(settings.broker.connection, prefix=settings.topics.prefix)


async def _read(settings: Settings) -> ExampleBook:
    from streams.kafka.example_book import read_memory

    return await read_memory(settings.broker.connection, prefix=settings.topics.prefix)


def _row(example: Example) -> dict[str, Any]:
    return example.model_dump(mode="json", exclude={"v", "vector"})
