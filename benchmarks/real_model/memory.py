"""What a memory of labelled tickets is worth to a real language model, by its size and by what finds the neighbours.

``python -m benchmarks.real_model.memory --keep DIR [--models llm smollm2] [--by minilm tfidf] [--sizes 0 50 200 1000 5000
all] [--examples K] [--limit N] [--limit-all N] [--novelty] [--recorded] [--data DIR] [--pictures DIR]``, on Banking77 as eight queues.
Needs the extras ``llm`` and ``memory``. The published train split is the memory, or a random part of it; N messages of the
test split are asked about through the sandbox's HTTP server, one half to calibrate on and one to test. The big tier is the
sandbox's trained classifier, which reads the same examples; *all big* asks it about every message, its examples billed.

The answers of each cell are kept in a file of records, so that a run that was stopped goes on where it was; ``--recorded``
reports on what there is. ``--limit-all`` asks about more messages where the memory is whole. ``--novelty`` measures how
well the novelty of a message tells whether it fits a label; it asks no language model.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import orjson

from benchmarks.calibration import Rows, banking77
from benchmarks.real_model.novelty import print_novelty, sandbox_novelties, unknown_intents
from benchmarks.real_model.pictures import draw_accuracy, draw_novelty, draw_risk_coverage
from benchmarks.real_model.tables import PROMISE, answers, percent, print_policies, table, tickets
from benchmarks.real_model.tfidf import TfIdf
from schemas import Scored, Ticket, stable_id
from streams.core.calibration.figures import whatif
from streams.core.calibration.measures import Floats, auroc, ece
from streams.core.calibration.records import Record
from streams.core.calibration.selection import NoPolicy, select
from streams.core.memory.example import Example
from streams.core.policy.fitted import Promise
from streams.core.policy.policy import Policy
from streams.core.signal.instructions import ExampleRule
from streams.demo.run import demo_settings
from streams.embedding.embedder import Embedder
from streams.embedding.minilm import MiniLM
from streams.evaluation import RecordFile, evaluate
from streams.kafka.connection import Connection
from streams.memory.embedding_cache import CachedEmbedder
from streams.memory.memory import Memory
from streams.models.classifier import ModelClient
from streams.sandbox.cache import cache_root
from streams.sandbox.language_model import LanguageModel
from streams.sandbox.model_kinds import MODEL_KINDS, ModelKind
from streams.sandbox.model_server.latency import Latency
from streams.sandbox.model_server.server import ServerOptions, create_app, serving
from streams.sandbox.model_server.training import TrainedModels, TrainingSet, train

_ALL = "all"
_SIZES = ("0", "50", "200", "1000", "5000", _ALL)
_BOUND = 0.05
#: Other ways to part the messages into those that calibrate and those that test.
_HALVES = 5
#: One request after the other, on a machine that may have other work: patience instead of a second try.
_PATIENT = {"timeout_s": 600.0, "deadline_s": 1800.0, "concurrency": 2}
_NAMES = {"llm": "Gemma 3 270M", "smollm2": "SmolLM2-135M-Instruct", "minilm": "MiniLM", "tfidf": "TF-IDF"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One line of the table: a model, what finds the neighbours, and how many tickets are labelled."""

    model: ModelKind
    by: str
    size: str
    examples: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.model}-{self.by}-{self.size}-{self.examples}" if self.size != "0" else f"{self.model}-0"

    @property
    def shown(self) -> tuple[str, str, str]:
        """How tables name it."""
        return _NAMES[self.model], "-" if self.size == "0" else _NAMES[self.by], self.size


def examples_of(rows: Sequence[tuple[str, str]], size: str, seed: int) -> list[Example]:
    """Return this many labelled messages, the same ones in every memory that is larger."""
    drawn = sorted({text: label for text, label in rows if text.strip()}.items())
    random.Random(seed).shuffle(drawn)
    wanted = drawn if size == _ALL else drawn[: int(size)]
    return [Example(f"train-{stable_id('train', text)[:12]}", None, text, label) for text, label in wanted]


async def remembered(cell: Cell, rows: Sequence[tuple[str, str]], minilm: Embedder, seed: int) -> Memory | None:
    """Return the memory of a cell; None for the size 0."""
    if cell.size == "0":
        return None
    examples = examples_of(rows, cell.size, seed)
    embedder = minilm if cell.by == "minilm" else TfIdf([example.text for example in examples])
    return await Memory.of(examples, embedder, cell.examples)


async def record(
    cell: Cell, asked: Sequence[Ticket], memory: Memory | None, url: str, labels: Sequence[str], keep: Path
) -> None:
    """Ask both models about the messages that the cell's file does not hold yet, and note the CPU time."""
    with TemporaryDirectory() as scratch:
        settings = demo_settings(Connection("127.0.0.1:9"), url, labels, Policy(), Path(scratch), models=cell.model)
    rule = None if memory is None or not cell.examples else ExampleRule(cell.examples, memory.embedder.model)
    prompt = replace(settings.prompt, examples=rule)
    tiers = settings.tiers
    with RecordFile(keep / f"{cell.name}.jsonl") as file:
        before, began = len(file.records), time.process_time()
        async with (
            ModelClient("cheap", tiers.cheap.model_copy(update=_PATIENT), settings.label_set, prompt=prompt) as cheap,
            ModelClient("big", tiers.big.model_copy(update=_PATIENT), settings.label_set, prompt=prompt) as big,
        ):
            await evaluate(asked, cheap, big, file, memory)
        made, spent = len(file.records) - before, time.process_time() - began
    if made:
        with (keep / "cpu.jsonl").open("ab") as notes:
            notes.write(orjson.dumps({"cell": cell.name, "tickets": made, "seconds": spent}) + b"\n")


async def record_all(
    cells: Sequence[Cell], options: argparse.Namespace, train_rows: Rows, asked: Sequence[Ticket]
) -> None:
    """Record every cell, the models one after the other."""
    rows = TrainingSet(tuple(text for text, _ in train_rows), tuple(label for _, label in train_rows))
    taught: TrainedModels | None = None
    minilm = CachedEmbedder(MiniLM(threads=1), cache_root())
    for kind in dict.fromkeys(cell.model for cell in cells):
        left = [
            cell for cell in cells if cell.model == kind and len(recorded(cell, options.keep)) < wanted(cell, options)
        ]
        if not left:
            continue
        taught = taught or train(rows, seed=options.seed)
        served = ServerOptions(seed=options.seed, jitter=0.0, latency=Latency(base_ms=0.0))
        app = create_app(taught, served, cheap=LanguageModel.load(kind, rows, seed=options.seed))
        async with serving(app) as url:
            for cell in left:
                memory = await remembered(cell, train_rows, minilm, options.seed)
                print(f"{cell.name}: {wanted(cell, options)} messages", flush=True)
                await record(cell, asked[: wanted(cell, options)], memory, url, taught.labels, options.keep)


def wanted(cell: Cell, options: argparse.Namespace) -> int:
    """Return how many messages a cell is asked about."""
    return max(options.limit, options.limit_all) if cell.size == _ALL and cell.by == "minilm" else options.limit


def recorded(cell: Cell, keep: Path) -> list[Record]:
    """Return what a cell's file holds, in the order of the messages' ids."""
    path = keep / f"{cell.name}.jsonl"
    if not path.exists():
        return []
    with RecordFile(path) as file:
        return sorted(file.records, key=lambda one: one.ticket.ticket_id)


def cpu_ms(keep: Path) -> dict[str, float]:
    """Return the milliseconds of CPU that a message of each cell took: both tiers, client and server."""
    path = keep / "cpu.jsonl"
    found: dict[str, list[float]] = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        note = orjson.loads(line)
        both = found.setdefault(note["cell"], [0.0, 0.0])
        both[0] += note["tickets"]
        both[1] += note["seconds"]
    return {cell: 1000 * seconds / count for cell, (count, seconds) in found.items()}


def confidences(records: Sequence[Record]) -> tuple[Floats, Floats]:
    """Return (confidence, 1.0 if right) of the cheap tier's scored answers, the surest first."""
    found = sorted(answers(records, "cheap"), key=lambda one: -one[0].confidence)
    both = np.array([(signal.confidence, float(right)) for signal, right, _ in found]).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def right_share(records: Sequence[Record]) -> float:
    """Return the share of all messages on which the cheap tier is right."""
    return sum(right for _, right, _ in answers(records, "cheap")) / len(records)


def at_bound(records: Sequence[Record], seed: int = 0) -> Mapping[str, float] | None:
    """Return what a policy calibrated on one half does on the other; None if none keeps the bound.

    ``seed`` parts the halves.
    """
    promise = Promise(**PROMISE | {"max_error": _BOUND})
    try:
        selection = select(records, promise, base=Policy(min_top_k_mass=0.0), seed=seed)
    except NoPolicy:
        return None
    return whatif(selection.policy, selection.tested)


def line(cell: Cell, records: Sequence[Record], milliseconds: float | None) -> list[object]:
    """Return a cell's line of the table."""
    sure, right = confidences(records)
    half = len(right) // 2
    votes = [one.cheap.neighbour_label == one.gold for one in records if one.cheap.neighbour_label is not None]
    found = at_bound(records)
    area = auroc(sure, right)
    cheap = [one.cheap.attempts[-1] for one in records]
    return [
        *cell.shown, len(records), percent(right_share(records)), percent(float(right[:half].mean()) if half else None),
        percent(len(right) / len(records)), "-" if area is None else f"{area:.3f}", f"{ece(sure, right):.3f}",
        percent(sum(votes) / len(votes) if votes else None),
        percent(found and found["saving"]), percent(found and found["accepted_error"]),
        percent(found and found["accuracy"] / found["accuracy_all_big"]), percent(found and found["review_rate"]),
        f"{statistics.fmean(one.prompt_tokens for one in cheap):.0f}",
        f"{1000 * statistics.fmean(one.cost_usd or 0.0 for one in cheap):.3f}",
        f"{1000 * statistics.fmean(one.big.cost_usd or 0.0 for one in records):.3f}",
        "-" if milliseconds is None else f"{milliseconds:.0f}",
    ]  # fmt: skip


_HEAD = ("model", "neighbours by", "labelled", "messages", "right", "surer half right", "answers that are a label", "AUROC", "ECE",
         "neighbours' vote right", "saving at 5 %", "error among the accepted", "accuracy of all big's", "in review",
         "prompt tokens", "USD for 1,000", "all big", "CPU ms a message")  # fmt: skip


def print_cells(cells: Sequence[Cell], keep: Path) -> None:
    """Print a line for each cell that has answers."""
    spent = cpu_ms(keep)
    print(table(_HEAD, [line(cell, found, spent.get(cell.name)) for cell in cells if (found := recorded(cell, keep))]))


def print_whole(cells: Sequence[Cell], keep: Path) -> None:
    """Print, where the memory is whole, what other policies do."""
    for cell in cells:
        if cell.size == _ALL and cell.by == "minilm" and (found := recorded(cell, keep)):
            print(f"{_NAMES[cell.model]}, the whole memory, {cell.examples} examples:\n")
            print_policies(found, None)
            print_halves(found)


def print_halves(records: Sequence[Record]) -> None:
    """Print how much the policy at the bound depends on which messages it is calibrated on."""
    rows = []
    for seed in range(_HALVES):
        made = at_bound(records, seed)
        rows.append([
            seed, *(percent(made and made[name]) for name in ("saving", "accepted_error", "review_rate")),
            percent(made and made["accuracy"] / made["accuracy_all_big"]),
        ])  # fmt: skip
    print(
        table(
            (f"halves, error under {_BOUND:.0%}", "saving", "accepted error", "in review", "accuracy of all big's"),
            rows,
        )
    )


def draw(cells: Sequence[Cell], keep: Path, folder: Path) -> None:
    """Draw the pictures of docs/memory.md from what is recorded."""
    known = {cell: found for cell in cells if (found := recorded(cell, keep))}
    accuracy: dict[str, list[tuple[int, float]]] = {}
    for cell, records in known.items():
        # Without a memory nothing finds neighbours: each line of the model begins there.
        lines = dict.fromkeys(other.by for other in known if other.model == cell.model and other.size != "0")
        for by in lines if cell.size == "0" else (cell.by,):
            size = int(cell.size) if cell.size != _ALL else max(one.memory.size for one in records if one.memory)
            accuracy.setdefault(f"{_NAMES[cell.model]}, {_NAMES[by]}", []).append((size, right_share(records)))
    draw_accuracy(accuracy, folder / "accuracy_by_size.svg")
    curves = {}
    for cell, records in known.items():
        if cell.size == "0" or (cell.size == _ALL and cell.by == "minilm"):
            name = "without" if cell.size == "0" else "with the memory"
            unscored = sum(not isinstance(one.cheap.signal, Scored) for one in records)
            curves[_NAMES[cell.model], name] = (*confidences(records), unscored)
    draw_risk_coverage(curves, folder / "risk_coverage.svg")


async def main(arguments: Sequence[str] | None = None) -> None:
    """Run what the command line asks for."""
    options = _parser().parse_args(arguments)
    options.keep.mkdir(parents=True, exist_ok=True)
    train_rows, test, queues = banking77(options.data)
    labelled = [(text, queues[intent]) for text, intent in train_rows]
    asked = tickets(test, queues, options.seed)
    cells = [
        Cell(model, by, size, options.examples)
        for model in options.models
        for size in options.sizes
        for by in options.by
        if size != "0" or by == options.by[0]
    ]
    if not options.recorded:
        await record_all(cells, options, labelled, asked)
    print_cells(cells, options.keep)
    print_whole(cells, options.keep)
    if options.pictures:
        draw(cells, options.keep, options.pictures)
    if options.novelty:
        minilm = CachedEmbedder(MiniLM(threads=1), cache_root())
        novelties = [await unknown_intents(train_rows, test, minilm, options.seed), await sandbox_novelties(minilm)]
        print_novelty(novelties)
        if options.pictures:
            draw_novelty(novelties, options.pictures / "novelty.svg")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    real = [kind for kind in MODEL_KINDS if kind != "trained"]
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data" / "banking77")
    parser.add_argument(
        "--keep", type=Path, required=True, help="folder for the answers; those it holds are not asked again"
    )
    parser.add_argument("--models", nargs="+", choices=real, default=real)
    parser.add_argument(
        "--by", nargs="+", choices=("minilm", "tfidf"), default=["minilm", "tfidf"], help="what finds neighbours"
    )
    parser.add_argument("--sizes", nargs="+", default=list(_SIZES), help="how many tickets are labelled, or 'all'")
    parser.add_argument("--examples", type=int, default=8, help="examples in a prompt, at most")
    parser.add_argument("--limit", type=int, default=300, help="messages asked about")
    parser.add_argument("--limit-all", type=int, default=0, help="messages asked about with the whole memory")
    parser.add_argument("--novelty", action="store_true", help="measure how well novelty tells what fits no label")
    parser.add_argument("--recorded", action="store_true", help="ask nothing; report on what the folder holds")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    asyncio.run(main())
