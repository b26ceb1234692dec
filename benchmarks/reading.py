"""What reading an answer costs, beside an older version of the code, in the same run.

``python -m benchmarks.reading [--against REVISION] [--rounds R]``. Twenty response bodies, from a lone token to a thought of
forty, are scored by the code here and by that of another revision of the repository (default: the commit before the thought
was read by a grammar). Rounds alternate between two processes; printed are microseconds of CPU a body, the least of the
rounds, and the ratio old / new: above 1, the code here is cheaper.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from tests.support import bodies
from tests.support.bodies import Tok

_ROOT = Path(__file__).parents[1]
_BEFORE = "2c285fd"
_LABELS = ("refund", "billing", "shipping", "account", "technical", "cancellation")
#: Runs in either tree, whose modules have moved since.
_TIMED = """
import json, sys, time
try:
    from streams.core.signal.labels import LabelSet
    from streams.core.signal.score import score
except ImportError:
    from streams.core.labels import LabelSet
    from streams.core.score import score
bodies = [body.encode() for body in json.loads(sys.stdin.readline())]
labels = LabelSet(json.loads(sys.stdin.readline()))
for _ in sys.stdin:
    began = time.process_time()
    for _ in range(30):
        for body in bodies:
            score(body, labels)
    print((time.process_time() - began) / 30 / len(bodies) * 1e6, flush=True)
"""


def responses() -> list[str]:
    """Return the bodies: five shapes with four answers each."""
    others = dict.fromkeys(["billing", " shipping", " refund", "tech", "Ref", "cancel", *"abcdefghijklm"], 0.03)
    alone = [Tok("refund", 0.4, others)]
    cut = [Tok(" ref", 0.4, others), Tok("und", 0.9, {"use": 0.05})]
    inside = [Tok(text, 0.9, {"x": 0.05}) for text in ('{"', "label", '": "')]
    thought = [Tok(text, 0.9, {"x": 0.05}) for text in ("<think>", *(f" w{n}" for n in range(40)), "</think>", "\n\n")]
    answers = (alone, cut, [*inside, *alone, Tok('"}', 0.9, {"x": 0.05})], [*thought, *alone])
    shapes = (bodies.chat, bodies.legacy, bodies.responses, bodies.ollama, bodies.gemini)
    return [json.dumps(shape(answer)) for shape in shapes for answer in answers]


def timed(tree: Path, rounds: int) -> Iterator[float]:
    """Yield what a body costs in each round, microseconds, in a process that imports the code of one tree."""
    command = [sys.executable, "-c", _TIMED]
    with subprocess.Popen(
        command, cwd=tree, env={"PYTHONPATH": str(tree)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(responses()) + "\n" + json.dumps(_LABELS) + "\n")
        for _ in range(rounds):
            process.stdin.write("\n")
            process.stdin.flush()
            yield float(process.stdout.readline())
        process.stdin.close()


def main() -> None:
    """Check the other revision out, run both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", default=_BEFORE, help="revision to compare with (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=40, help="rounds of each version (default: %(default)s)")
    parsed = parser.parse_args()
    archive = subprocess.run(
        ["git", "archive", parsed.against, "streams", "schemas"], cwd=_ROOT, capture_output=True, check=True
    )
    with tempfile.TemporaryDirectory(prefix="hedgerow-reading-") as folder:
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(folder, filter="data")
        pairs = list(zip(timed(Path(folder), parsed.rounds), timed(_ROOT, parsed.rounds), strict=True))
    old, new = (min(column) for column in zip(*pairs, strict=True))
    print(
        json.dumps(
            {"against": parsed.against, "old_us": round(old, 1), "new_us": round(new, 1), "ratio": round(old / new, 3)}
        )
    )


if __name__ == "__main__":
    main()
