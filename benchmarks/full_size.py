"""Writes files as large as a team's: 15,000 labelled tickets, 3,000 to calibrate with, 4,500 to test, and 1,100 out of scope.

``python -m benchmarks.full_size FOLDER [--data DIR] [--seed N] [--near SHARE]`` writes ``train.jsonl``, ``calibration.jsonl`` (with
100 out of scope) and ``test.jsonl`` (with 1,000), for `hedgerow evaluate --train --memory`, `calibrate` and `whatif`. Banking77's
intents (CC BY 4.0, see the folder's README) are in ten groups of similar words, and twelve intents are held out. Its 13,083
messages are too few, so each file is filled up with variants of its own messages: other greetings, letters swapped, a word
left out. Out of scope are messages of the held-out intents (``near``), and sample tickets of a shop.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import orjson

from benchmarks.calibration import Rows, banking77, ten_groups
from benchmarks.out_of_scope import shop_texts

_HELD_OUT = 12
_MESSAGES = (6_000, 2_500)
_TRAIN, _CALIBRATION, _TEST = 15_000, 3_000, 4_500
_OUTSIDE, _OUTSIDE_CALIBRATION = 1_100, 100
_BEFORE = ("Hi, ", "Hello there. ", "Hey! ", "Good morning, ", "please help: ", "Quick question: ", "")
_AFTER = (" Thanks.", " Please advise.", " thank you!", " ASAP", "", " Any idea?")
_SHORT = 6


def varied(text: str, chance: random.Random) -> str:
    """Return the text as another customer might have typed it."""
    words = text.split()
    if len(words) > _SHORT and chance.random() < 0.5:
        words.pop(chance.randrange(len(words)))
    for _ in range(1 + len(words) // (2 * _SHORT)):
        place = chance.randrange(len(words))
        word = words[place]
        if len(word) > 3:
            at = chance.randrange(1, len(word) - 1)
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return chance.choice(_BEFORE) + " ".join(words) + chance.choice(_AFTER)


def filled(rows: Rows, count: int, chance: random.Random) -> Rows:
    """Return ``count`` rows: these, and variants of them."""
    return rows + [(varied(text, chance), label) for text, label in chance.choices(rows, k=count - len(rows))]


def write(path: Path, inside: Rows, outside: Sequence[str] = ()) -> None:
    """Write labelled rows, and after them those that fit no label."""
    rows: list[dict[str, str]] = [{"text": text, "label": label} for text, label in inside]
    rows += [{"text": text} for text in outside]
    named = ({"ticket_id": f"{path.stem}-{number}", **row} for number, row in enumerate(rows))
    path.write_bytes(b"\n".join(map(orjson.dumps, named)) + b"\n")


def main() -> None:
    """Draw and write the three files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "banking77")
    parser.add_argument("--seed", type=int, default=0, help="of the intents held out, the draws and the variants")
    parser.add_argument(
        "--near", type=float, default=0.3, help="share of what is out of scope that is near to the scope"
    )
    options = parser.parse_args()
    chance = random.Random(options.seed)
    train, test, _ = banking77(options.data)
    every = [(text.strip(), intent) for text, intent in train + test if text.strip()]
    intents = sorted({intent for _, intent in every})
    chance.shuffle(intents)
    held = set(intents[:_HELD_OUT])
    inside = [row for row in every if row[1] not in held]
    near = [text for text, intent in every if intent in held]
    groups = ten_groups(inside, options.seed)
    far = list(dict.fromkeys(shop_texts()))
    for rows in (inside, near, far):
        chance.shuffle(rows)
    labelled = [(text, groups[intent]) for text, intent in inside]
    first, second = _MESSAGES
    count = round(_OUTSIDE * options.near)
    others = filled([(text, "") for text in far[: _OUTSIDE - count]], _OUTSIDE - count, chance)
    outside = near[:count] + [text for text, _ in others]
    chance.shuffle(outside)
    options.folder.mkdir(parents=True, exist_ok=True)
    write(options.folder / "train.jsonl", filled(labelled[:first], _TRAIN, chance))
    taught, known = labelled[first : first + second], outside[:_OUTSIDE_CALIBRATION]
    write(options.folder / "calibration.jsonl", filled(taught, _CALIBRATION, chance), known)
    rest, strange = labelled[first + second :], outside[_OUTSIDE_CALIBRATION:]
    write(options.folder / "test.jsonl", filled(rest, _TEST, chance), strange)


if __name__ == "__main__":
    main()
