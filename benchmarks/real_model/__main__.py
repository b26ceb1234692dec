"""What a real language model's confidence is worth as the cheap tier, and what its perplexity tells about a text.

``python -m benchmarks.real_model [--data DIR] [--limit N] [--texts N] [--record FILE] [--pictures DIR]``, on Banking77
(CC BY 4.0, see the folder's README) as eight queues. Needs the extra ``llm``. The published train split gives the
language model its examples and teaches the big classifier; N messages of the test split, shuffled, are asked about
through the sandbox's HTTP server, one half to calibrate on and one to test; further ones are measured for perplexity.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import orjson

from benchmarks.calibration import banking77
from benchmarks.real_model.tables import percent, print_answers, print_policies, table, tickets
from benchmarks.strange_texts import (
    OTHER_LANGUAGES,
    boilerplate,
    joined,
    keyboard,
    repeated,
    shuffled_words,
    with_suffix,
)
from schemas import Measured, Perplexity, Ticket
from streams.core.calibration.records import Record
from streams.core.policy.policy import Policy
from streams.core.signal.perplexity import PerplexityRule, fit_rule, risk
from streams.demo.run import demo_settings
from streams.evaluation import RecordFile, evaluate
from streams.kafka.connection import Connection
from streams.models.classifier import ModelClient
from streams.models.perplexity import PerplexityClient, PromptEndpoint
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings

_FLAGGED = 0.01
_TIMED = 41
_RULE = PerplexityRule()


async def record(asked: Sequence[Ticket], settings: Settings, path: Path) -> list[Record]:
    """Return both models' answers about the tickets; those that the file holds are not asked again."""
    wanted = {ticket.ticket_id for ticket in asked}
    with RecordFile(path) as file:
        async with (
            ModelClient("cheap", settings.tiers.cheap, settings.label_set, prompt=settings.prompt) as cheap,
            ModelClient("big", settings.tiers.big, settings.label_set, prompt=settings.prompt) as big,
        ):
            await evaluate(asked, cheap, big, file)
        return sorted((one for one in file.records if one.ticket.ticket_id in wanted), key=lambda x: x.ticket.ticket_id)


async def print_speed(asked: Sequence[Ticket], settings: Settings) -> None:
    """Print how long one ticket takes the language model, alone; the examples have been read by then."""
    async with ModelClient("cheap", settings.tiers.cheap, settings.label_set, prompt=settings.prompt) as client:
        calls = [await client.ask(ticket.text) for ticket in asked]
    times = sorted(call.latency_ms for call in calls)
    print(f"one ticket alone: median {statistics.median(times):.0f} ms, slowest of {len(times)} {times[-1]:.0f} ms\n")


async def measured(texts: Sequence[str], settings: Settings) -> list[Perplexity]:
    """Return the perplexity of every text, asked for by the legacy echo."""
    async with PerplexityClient(PromptEndpoint(endpoint=settings.tiers.cheap, api="echo"), _RULE) as client:
        # One after the other, as the model works: a crowd would wait beyond its deadline.
        return [(await client.measure(text)).result for text in texts]


def kinds(messages: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Return the texts by kind; the real messages come in two halves, one to take the limits from."""
    half = len(messages) // 2
    plain = messages[half:]
    return {
        "real, limits from these": list(messages[:half]),
        "real, others": list(plain),
        "real, in other languages": list(OTHER_LANGUAGES),
        "boilerplate (licence)": boilerplate(),
        "one message four times": repeated(plain, seed),
        "words in random order": shuffled_words(plain, seed),
        "random letters": keyboard(60, seed),
        "real with adversarial suffix": with_suffix(plain, seed),
        "twelve messages and one suffix": with_suffix(joined(plain), seed),
    }


def print_perplexity(found: Mapping[str, Sequence[Perplexity]]) -> None:
    """Print the surprise of each kind of text, and which share of it the limits flag."""
    first = next(iter(found.values()))
    rule = fit_rule([one for one in first if isinstance(one, Measured)], flagged=_FLAGGED, min_tokens=_RULE.min_tokens)
    print("limits: " + ", ".join(f"{name} {getattr(rule, name):.2f}" for name in ("usual", "low", "high", "window")))
    print()
    rows = []
    for name, perplexities in found.items():
        judged = [one for one in perplexities if isinstance(one, Measured)]
        means = sorted(one.mean for one in judged)
        windows = sorted(one.window or 0.0 for one in judged)
        reasons = [risk(rule, one).reasons for one in judged]
        flagged = [
            sum(f"perplexity_{side}" in one for one in reasons) / len(judged) for side in ("low", "high", "window")
        ]
        rows.append([name, len(perplexities), percent(len(judged) / len(perplexities), 0),
                     *(f"{means[int(share * (len(means) - 1))]:.2f}" for share in (0.05, 0.5, 0.95)),
                     f"{statistics.median(windows):.2f}", *(percent(one, 0) for one in flagged),
                     percent(sum(map(bool, reasons)) / len(judged), 0)])  # fmt: skip
    head = ("texts", "number", "long enough", "mean 5 %", "50 %", "95 %", "window 50 %", "low", "high", "window",
            "to a reviewer")  # fmt: skip
    print(table(head, rows))


async def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data" / "banking77")
    parser.add_argument("--limit", type=int, default=1000, help="messages asked about")
    parser.add_argument("--texts", type=int, default=600, help="messages measured for perplexity")
    parser.add_argument("--record", type=Path, help="keep the answers here, and ask only for what is missing")
    parser.add_argument("--pictures", type=Path, help="folder for the pictures")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    train, test, queues = banking77(asked.data)
    shuffled = tickets(test, queues, asked.seed)
    with (
        nullcontext() if asked.record else tempfile.TemporaryDirectory() as scratch,
        tempfile.TemporaryDirectory() as name,
    ):
        folder = Path(name)
        lines = [orjson.dumps({"text": text, "label": queues[intent]}) for text, intent in train]
        (folder / "train.jsonl").write_bytes(b"\n".join(lines))
        async with ModelServer(folder / "train.jsonl", models="llm", jitter=0.0, seed=asked.seed) as server:
            nowhere = Connection("127.0.0.1:9")
            settings = demo_settings(nowhere, server.url, server.labels, Policy(), folder, models="llm")
            path = asked.record or Path(scratch or name, "records.jsonl")
            records = await record(shuffled[: asked.limit], settings, path)
            await print_speed(shuffled[:_TIMED], settings)
            print_answers(records)
            print_policies(records, asked.pictures)
            messages = [ticket.text for ticket in shuffled[-asked.texts :]]
            texts = kinds(messages, asked.seed)
            print_perplexity({kind: await measured(each, settings) for kind, each in texts.items()})


if __name__ == "__main__":
    asyncio.run(main())
