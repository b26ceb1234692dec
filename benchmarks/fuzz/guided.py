"""Coverage-guided fuzzing of the parsers with atheris (libFuzzer): ``python -m benchmarks.fuzz.guided TARGET --runs N --seed S``.

Atheris counts the branches of our Python that an input reaches, and goes on from inputs that reach new ones. It is in the dependency
group ``fuzz``; pydantic's own parser is Rust and is not seen by it. The process ends with the target: 0 if nothing was found, 77 with the
input and the traceback if something was.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["schemas", "streams"]):
    from benchmarks.fuzz.corpus import Corpus
    from benchmarks.fuzz.mutations import mutate
    from benchmarks.fuzz.parsers import Taken, check
    from schemas import TOPICS
    from streams.core.signal.labels import LabelSet
    from streams.core.signal.prompt_logprobs import read_prompt
    from streams.core.signal.score import score
    from streams.delivery.ledger import METADATA_LIMIT, decode_finished, encode_finished
    from streams.models.retry_after import retry_after

_LABELS = LabelSet(["refund", "billing", "transfer", "transaction"])
_NAMES = sorted(TOPICS)
_SEEDS = 40
_LOW = 100
_BODIES = (
    b'{"choices":[{"message":{"content":"refund"},"finish_reason":"stop","logprobs":{"content":[{"token":"refund","logprob":-0.1,'
    b'"bytes":[114],"top_logprobs":[{"token":"refund","logprob":-0.1},{"token":"billing","logprob":-2.5}]}]}}],"model":"m",'
    b'"usage":{"prompt_tokens":9,"completion_tokens":1}}',
    b'{"choices":[{"text":"refund","logprobs":{"tokens":["refund"],"token_logprobs":[-0.1],"top_logprobs":[{"refund":-0.1}]}}]}',
    b'{"candidates":[{"content":{"parts":[{"text":"refund"}]},"logprobsResult":{"chosenCandidates":[{"token":"refund",'
    b'"logProbability":-0.1}],"topCandidates":[{"candidates":[{"token":"refund","logProbability":-0.1}]}]}}]}',
    b'data: {"choices":[{"delta":{"content":"ref"}}]}\n\ndata: [DONE]\n\n',
)


def message(data: bytes) -> None:
    """Read the bytes as a message of the topic that the first one picks, or make their dead letter."""
    if data:
        check(Taken(_NAMES[data[0] % len(_NAMES)], 0, data[1:], None))


def response(data: bytes) -> None:
    """Read the bytes as a model's response body and score them."""
    score(data, _LABELS).signal.model_dump_json()


def prompt(data: bytes) -> None:
    """Read the bytes as a response with the logprobs of a prompt."""
    read_prompt(data, "Where is my refund?")


def metadata(data: bytes) -> None:
    """Read the bytes as a commit's metadata; what is read is written back the same."""
    found = decode_finished(_LOW, data.decode("latin-1"))
    assert all(offset >= _LOW for offset in found)
    again = encode_finished(_LOW, found)
    assert len(again) <= METADATA_LIMIT
    assert decode_finished(_LOW, again) <= found


def header(data: bytes) -> None:
    """Read lines of bytes as the headers that say how long to wait."""
    names = ("retry-after-ms", "retry-after", "x-ratelimit-reset-requests", "x-ratelimit-reset-tokens")
    lines = data.decode("latin-1").split("\n")
    value = retry_after({name: line for name, line in zip(names, lines, strict=False) if line})
    assert value is None or value >= 0


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (message, response, prompt, metadata, header)
}


def seeds(target: str, seed: int) -> list[bytes]:
    """Return the inputs to begin with."""
    if target == "message":
        return [
            bytes([number]) + value
            for number, name in enumerate(_NAMES)
            for value in Corpus(name, seed).messages(_SEEDS)
            if value is not None and len(value) < 4_000
        ]
    if target == "metadata":
        return [
            encode_finished(_LOW, range(_LOW + 1, _LOW + 1 + width, step)).encode()
            for width in (3, 50)
            for step in (1, 2)
        ]
    return [b"3\n3", b"\nFri, 21 Nov 2025 07:00:00 GMT", b"\n\n6m0s\n12ms"] if target == "header" else list(_BODIES)


def mutated(data: bytes, max_size: int, seed: int, *, skip: int = 0) -> bytes:
    """Change bytes as libFuzzer does, or every other time the JSON behind the first ``skip`` bytes, which most bytes are not."""
    random = Random(seed)
    if random.random() < 0.5:
        try:
            root = [json.loads(data[skip:])]
            mutate(root, random)
            changed = data[:skip] + json.dumps(root[0] if root else None).encode()
        except (ValueError, RecursionError):
            changed = b""
        if 0 < len(changed) <= max_size:
            return changed
    return atheris.Mutate(data, max_size)


def main() -> None:
    """Run one target; the process ends here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hedgerow-guided-") as folder:
        for number, data in enumerate(seeds(parsed.target, parsed.seed)):
            Path(folder, f"seed-{number}").write_bytes(data)
        flags = [
            f"-runs={parsed.runs}",
            f"-seed={parsed.seed}",
            "-max_len=8192",
            "-len_control=0",
            f"-artifact_prefix={folder}/",
        ]
        skip = 1 if parsed.target == "message" else 0
        mutator = partial(mutated, skip=skip) if parsed.target in {"message", "response", "prompt"} else None
        atheris.Setup([sys.argv[0], *flags, folder], TARGETS[parsed.target], custom_mutator=mutator)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
