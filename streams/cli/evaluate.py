"""hedgerow evaluate: asks both tiers about every ticket of a file, offline, and keeps the answers."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from streams.cli.embedding_progress import embedding_progress, progress_bar
from streams.cli.options import AsJson, Models
from streams.cli.policy_figures import show_slices
from streams.cli.runtime import run
from streams.cli.unknown_labels import warn_of_unknown
from streams.core.wording import counted
from streams.errors import SettingsError
from streams.sandbox.extras import missing_extra
from streams.sandbox.tickets import TRAIN

if TYPE_CHECKING:
    from rich.progress import Progress

    from streams.core.policy.fitted import FittedMemory
    from streams.core.policy.policy import Policy
    from streams.evaluation import RecordFile, Tickets
    from streams.memory.memory import Memory
    from streams.sandbox.model_kinds import ModelKind
    from streams.settings import MemorySettings, Settings


def evaluate(
    tickets: Annotated[
        Path, typer.Option(help="JSONL, .csv or .tsv file of tickets {ticket_id, text, label?, slice?}")
    ],
    record: Annotated[
        Path, typer.Option(help="Record file to write; tickets that it already holds are not asked about again")
    ],
    train: Annotated[
        Path | None,
        typer.Option(help="JSONL file of labelled tickets to train the sandbox models on (default: bundled ones)"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Settings file whose endpoints to ask (default: sandbox models)"),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file for the figures (default: that of the settings)")
    ] = None,
    memory: Annotated[
        Path | None,
        typer.Option(help="File of labelled tickets to show examples from (default: the settings' memory, or --train)"),
    ] = None,
    no_memory: Annotated[bool, typer.Option("--no-memory", help="Show the models no examples")] = False,
    examples: Annotated[
        int | None,
        typer.Option(min=0, max=32, help="Maximum number of examples in a prompt (default: the settings', or 8)"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Maximum number of rows to read")] = None,
    models: Models = "trained",
    seed: Annotated[int, typer.Option(help="Random seed for the sandbox models")] = 0,
    as_json: AsJson = False,
) -> None:
    """Record what both tiers say about every ticket, for calibrate and whatif; exit 1 if some got no answer."""
    from streams.core.calibration.figures import whatif
    from streams.evaluation import RecordFile, read_tickets
    from streams.kafka.ticket_tables import read_ticket_rows
    from streams.memory.open_memory import require_memory
    from streams.observability.logs import configure_logging
    from streams.settings import load_policy

    # What failed and was tried again is in the records.
    configure_logging(level="error", libraries=logging.CRITICAL)
    if config is not None and train is not None:
        raise SettingsError("--train is for the sandbox models and --config for other endpoints: name one of them")
    if memory is not None and no_memory:
        raise SettingsError("--memory and --no-memory exclude each other")
    given = load_policy(policy) if policy else None
    rows = read_tickets(row for _, row in read_ticket_rows(tickets, limit))
    if not rows.tickets:
        raise SettingsError(f"tickets file {tickets}: no tickets, {counted(rows.invalid, 'invalid row')}")
    if memory is not None and config is None:
        require_memory()
    remembered = _Memory(memory, no_memory, examples)
    with RecordFile(record) as file:
        before = len(file.records)
        used, unanswered, fitted = run(_evaluate(rows, file, config, train, given, models, seed, remembered))
        wanted = {ticket.ticket_id for ticket in rows.tickets}
        records = [one for one in file.records if one.ticket.ticket_id in wanted]
        figures: dict[str, Any] = {
            "recorded": len(records),
            "asked": len(file.records) - before,
            "unanswered": unanswered,
            "invalid_rows": rows.invalid,
            "repeated_rows": rows.repeated,
            "memory": None if fitted is None else fitted.model_dump(),
            "known_texts": sum(one.is_known for one in records),
            "policy_id": used.id,
            **whatif(used, records),
        }
    if as_json:
        print(orjson.dumps(figures).decode())
    else:
        _show(figures, record)
    if unanswered:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Memory:
    """What the command line says of the memory."""

    file: Path | None
    off: bool
    examples: int | None

    def of(self, settings: Settings, config: Path | None, train: Path | None, policy: Policy | None) -> Settings:
        """Return the settings with the memory that is meant; without ``config`` it may be the tickets to train on."""
        from streams.settings import MemorySettings

        memory = settings.memory
        if self.off:
            memory = None
        elif self.file is not None:
            memory = (memory or MemorySettings()).model_copy(update={"file": str(self.file)})
        elif config is None:
            memory = None if self._left_out(policy) else MemorySettings(file=str(train or TRAIN))
        if memory is not None and self.examples is not None:
            memory = memory.model_copy(update={"examples": self.examples})
        return settings.model_copy(update={"memory": memory})

    @staticmethod
    def _left_out(policy: Policy | None) -> bool:
        """Whether there is no memory although none was refused, and say why."""
        fitted = None if policy is None else policy.fitted
        why_not = (
            "the policy was fitted without one"
            if fitted is not None and fitted.memory is None
            else missing_extra("it", "memory")
        )
        if why_not:
            print(f"no memory: {why_not}", file=sys.stderr)
        return why_not is not None


async def _evaluate(
    rows: Tickets,
    file: RecordFile,
    config: Path | None,
    train: Path | None,
    policy: Policy | None,
    models: ModelKind,
    seed: int,
    remembered: _Memory,
) -> tuple[Policy, int, FittedMemory | None]:
    """Ask, and return the policy for the figures, how many tickets got no answer, and what the memory was."""
    from streams.evaluation import evaluate as ask_both
    from streams.models.classifier import ModelClient

    async with _settings(config, train, models, seed) as settings:
        settings = remembered.of(settings, config, train, policy)
        used = _figures_policy(settings, policy)
        prompt, labels = settings.prompt, settings.label_set
        gold = Counter(ticket.label for ticket in rows.tickets if ticket.label is not None)
        unknown = Counter({label: count for label, count in gold.items() if label not in labels.labels})
        warn_of_unknown(unknown, str(config or train or TRAIN))
        async with AsyncExitStack() as stack:
            bar = stack.enter_context(progress_bar())
            memory = None if settings.memory is None else await _memory(settings, settings.memory, stack, bar)
            if memory is not None:
                _warn_unless_english(memory.embedder.model, [ticket.text for ticket in rows.tickets])
            waiting = {ticket.ticket_id for ticket in rows.tickets} - {one.ticket.ticket_id for one in file.records}
            looking = bar.add_task("looking the tickets up", total=len(waiting), visible=memory is not None)
            task = bar.add_task("asking both tiers", total=len(waiting))
            async with (
                ModelClient("cheap", settings.tiers.cheap, labels, prompt=prompt) as cheap,
                ModelClient("big", settings.tiers.big, labels, prompt=prompt) as big,
            ):
                unanswered = await ask_both(
                    rows.tickets,
                    cheap,
                    big,
                    file,
                    memory,
                    looked_up=lambda count: bar.advance(looking, count),
                    progress=lambda: bar.advance(task),
                )
    return used, unanswered, None if memory is None else memory.fitted


def _warn_unless_english(model: str, texts: Sequence[str]) -> None:
    """Say if the embedding model knows nothing but English, and the tickets are in another language."""
    from streams.memory.english_only import EnglishOnly

    if said := EnglishOnly(model, "tickets to evaluate").look(texts):
        print(said, file=sys.stderr)


async def _memory(settings: Settings, wanted: MemorySettings, stack: AsyncExitStack, bar: Progress) -> Memory:
    """Return the memory of a file, or what the topic holds now."""
    from streams.memory.memory import Memory
    from streams.memory.open_memory import open_embedder, open_memory
    from streams.worker.memory_follower import read_memory_topic

    if wanted.file is None:
        embedder = await stack.enter_async_context(open_embedder(wanted.embedding, threads=0, kept=True))
        memory = Memory(embedder, wanted.examples, settings.redact, limit=wanted.max_examples)
        await read_memory_topic(memory, settings.broker.connection, settings.topics.prefix)
        return memory
    embedder = await stack.enter_async_context(open_embedder(wanted.embedding, threads=0))
    return await open_memory(
        Path(wanted.file),
        embedder,
        settings.label_set.labels,
        settings.redact,
        wanted.examples,
        tickets_kept=True,
        begin=embedding_progress(bar),
        tell=partial(print, file=sys.stderr),
    )


def _figures_policy(settings: Settings, given: Policy | None) -> Policy:
    """Return the policy for the figures: the one given, which must fit, or the settings' own if it does."""
    from streams.core.policy.policy import Policy
    from streams.worker.start_checks import check_policy

    if given is not None:
        check_policy(given, settings)
        return given
    try:
        check_policy(settings.policy, settings)
    except SettingsError:
        # A new model is evaluated in order to be calibrated: the policy of the old one is no reason to refuse that.
        return Policy()
    return settings.policy


@asynccontextmanager
async def _settings(config: Path | None, train: Path | None, models: ModelKind, seed: int) -> AsyncIterator[Settings]:
    """Yield the settings of the config file, or of a sandbox model server that runs meanwhile."""
    from streams.core.policy.policy import Policy
    from streams.demo.run import demo_settings
    from streams.kafka.connection import Connection
    from streams.sandbox.model_server.process import ModelServer
    from streams.settings import load_settings

    if config is not None:
        yield load_settings(config)
        return
    async with ModelServer(train or TRAIN, models=models, seed=seed) as server:
        # Of the demo's settings only the labels and endpoints are used here: there is no broker, and no review store.
        nowhere = Connection("127.0.0.1:9")
        yield demo_settings(nowhere, server.url, server.labels, Policy(), Path(), models=models)


def _show(figures: dict[str, Any], record: Path) -> None:
    console = Console()
    left_out = ", ".join(
        counted(figures[name], one, several)
        for name, one, several in (
            ("invalid_rows", "row was invalid", "rows were invalid"),
            ("repeated_rows", "row repeated a ticket id", "rows repeated a ticket id"),
            ("unanswered", "ticket got no answer: run it again", "tickets got no answer: run it again"),
        )
        if figures[name]
    )
    recorded = counted(figures["recorded"], "ticket")
    size = None if figures["memory"] is None else counted(figures["memory"]["size"], "labelled ticket")
    asked = f"{figures['asked']} asked now, {'without a memory' if size is None else f'with a memory of {size}'}"
    print(f"{recorded} in {record}, {asked}{left_out and '; '}{left_out}")
    if known := figures["known_texts"]:
        print(
            f"{counted(known, 'ticket has', 'tickets have')} the text of a labelled one with another id, which the models were shown: "
            "if it is the same ticket, they knew the answer",
            file=sys.stderr,
        )
    show_slices(figures, f"under the policy {figures['policy_id']}", console)
