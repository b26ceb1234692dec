"""How many tickets that fit no label a calibrated policy routes, and what it saves, with a memory.

``python -m benchmarks.out_of_scope [--data DIR] [--seeds N] [--draws N]``. Banking77's intents (CC BY 4.0, see the folder's
README) in ten groups of similar words; twelve intents are held out, so that their messages fit no group. 6,000 messages
teach the sandbox models and are the memory. Each draw calibrates on 3,000 others and 100 out of scope, with the defaults
of `hedgerow calibrate`, and replays the policy on 1,300 others and 285 out of scope. These are messages of the held-out
intents, which are near to the others, and sample tickets of a shop, which are far: a small part of the former
(15 %) or a larger one (30 %).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.calibration import banking77, ten_groups
from schemas import Ticket
from streams.core.calibration.figures import whatif
from streams.core.calibration.records import Record
from streams.core.calibration.selection import NoPolicy, out_of_scope_share, select
from streams.core.policy.fitted import Promise
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings
from streams.evaluation import RecordFile, evaluate
from streams.kafka.connection import Connection
from streams.memory.open_memory import open_embedder, open_memory
from streams.models.classifier import ModelClient
from streams.observability.logs import configure_logging
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import CALIBRATION, DEMO, TRAIN
from streams.settings import MemorySettings

_HELD_OUT = 12
_TAUGHT, _OTHERS, _NEAR, _FAR = 6_000, 4_300, 1_100, 700
_CALIBRATION, _OUTSIDE_CALIBRATION, _OUTSIDE = 3_000, 100, 385
#: Labels of the sample tickets that no bank's customer writes about.
_SHOP = ("shipping", "technical", "cancellation")
_NEAR_SHARES = (0.15, 0.3)
_SHOWN = ("saving", "out_of_scope_routed", "out_of_scope_auroc", "accepted_error_in_scope", "ece", "review_rate")
PROMISE = Promise(
    max_error=0.05, level=0.95, keep=0.99, min_saving=0.7, max_review=0.3, review_usd=0.1, max_out_of_scope=0.2
)


def shop_texts() -> list[str]:
    """Return sample tickets that no bank's customer writes."""
    rows = [orjson.loads(line) for path in (TRAIN, CALIBRATION, DEMO) for line in path.read_bytes().splitlines()]
    return [row["text"] for row in rows if row.get("label") in _SHOP]


async def record(folder: Path, data: Path, seed: int) -> list[Record]:
    """Return both models' answers with the memory; the ids say which kind a ticket is of."""
    train, test, _ = banking77(data)
    chance = random.Random(seed)
    intents = sorted({intent for _, intent in train})
    chance.shuffle(intents)
    held = set(intents[:_HELD_OUT])
    inside = [row for row in train + test if row[1] not in held]
    near = [text for text, intent in train + test if intent in held]
    groups = ten_groups(inside, seed)
    chance.shuffle(inside)
    chance.shuffle(near)
    far = shop_texts()
    chance.shuffle(far)
    taught, others = inside[:_TAUGHT], inside[_TAUGHT : _TAUGHT + _OTHERS]
    labelled = folder / f"train-{seed}.jsonl"
    labelled.write_bytes(b"\n".join(orjson.dumps({"text": text, "label": groups[intent]}) for text, intent in taught))
    tickets = [
        *(Ticket(ticket_id=f"in-{n}", text=text, label=groups[intent]) for n, (text, intent) in enumerate(others)),
        *(Ticket(ticket_id=f"near-{n}", text=text) for n, text in enumerate(near[:_NEAR])),
        *(Ticket(ticket_id=f"far-{n}", text=text) for n, text in enumerate(far[:_FAR])),
    ]
    async with ModelServer(labelled, seed=seed, latency_ms=0.0) as server, open_embedder(None, threads=0) as embedder:
        settings = demo_settings(Connection("127.0.0.1:9"), server.url, server.labels, Policy(), folder)
        settings = settings.model_copy(update={"memory": MemorySettings(file=str(labelled), examples=8)})
        labels, prompt = settings.label_set, settings.prompt
        memory = await open_memory(labelled, embedder, labels.labels, (), 8, tickets_kept=True)
        with RecordFile(folder / f"records-{seed}.jsonl") as file:
            async with (
                ModelClient("cheap", settings.tiers.cheap, labels, prompt=prompt) as cheap,
                ModelClient("big", settings.tiers.big, labels, prompt=prompt) as big,
            ):
                await evaluate(tickets, cheap, big, file, memory)
            return sorted(file.records, key=lambda one: one.ticket.ticket_id)


def split(records: Sequence[Record], near_share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """Return (calibration, test)."""
    chance = random.Random(seed)
    inside = [one for one in records if one.gold is not None]
    outside: list[Record] = []
    for kind, share in (("near", near_share), ("far", 1 - near_share)):
        rows = [one for one in records if one.ticket.ticket_id.startswith(kind)]
        chance.shuffle(rows)
        outside += rows[: int(_OUTSIDE * share)]
    chance.shuffle(inside)
    chance.shuffle(outside)
    calibration = inside[:_CALIBRATION] + outside[:_OUTSIDE_CALIBRATION]
    return calibration, inside[_CALIBRATION:] + outside[_OUTSIDE_CALIBRATION:]


def main() -> None:
    """Measure and print a line for each draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "banking77")
    parser.add_argument("--seeds", type=int, default=3, help="Splits into intents in scope and out of scope")
    parser.add_argument("--draws", type=int, default=4, help="Draws of calibration and test messages for each split")
    options = parser.parse_args()
    configure_logging(level="error", libraries=logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(options.seeds):
            records = asyncio.run(record(Path(name), options.data, seed))
            for near_share in _NEAR_SHARES:
                for draw in range(options.draws):
                    calibration, test = split(records, near_share, draw)
                    share = out_of_scope_share(calibration)
                    promise = PROMISE.model_copy(update={"out_of_scope_share": share})
                    where = {"seed": seed, "near": near_share, "draw": draw}
                    try:
                        policy = select(calibration, promise, seed=draw).policy
                    except NoPolicy as error:
                        print(json.dumps(where | {"no_policy": str(error)}), flush=True)
                        continue
                    made = whatif(policy, test)
                    figures = {key: round(made[key], 4) for key in _SHOWN}
                    kept = round(made["accuracy"] / made["accuracy_all_big"], 4)
                    error = round(whatif(policy, test, share)["accepted_error"], 4)
                    print(json.dumps(where | figures | {"accepted_error": error, "kept": kept}), flush=True)


if __name__ == "__main__":
    main()
