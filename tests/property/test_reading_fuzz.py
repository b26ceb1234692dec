"""Nothing a server can send raises anything, or becomes a signal without the numbers of one.

``HEDGEROW_FUZZ`` sets how many mutated bodies are read: 20,000 unless told otherwise.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import answers
from benchmarks.fuzz.mutations import JUNK
from schemas.signal import Reason, Scored, Unscorable
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import Reading, score
from tests.support.mutations import mutated, originals

COUNT = int(os.environ.get("HEDGEROW_FUZZ", "20000"))
PARTS = 4
LABELS = LabelSet(["refund", "billing", "transfer", "transaction"])
LISTS = {
    "top_logprobs", "topCandidates", "top_candidates", "top_probs", "probs", "top_tokens", "output_top_logprobs",
}  # fmt: skip


def numbers(body: Any) -> Iterator[float]:
    """Yield every usable log-probability or probability that stands in a list of alternatives."""
    stack: list[tuple[Any, bool]] = [(body, False)]
    while stack:
        node, listed = stack.pop()
        if isinstance(node, dict):
            stack.extend((value, listed or key in LISTS) for key, value in node.items())
        elif isinstance(node, list):
            stack.extend((value, listed) for value in node)
        elif listed and type(node) in (int, float) and -100 < node <= 1 + 1e-6:
            yield node


def check(reading: Reading, body: Any) -> None:
    for text in (reading.text, reading.model, reading.fingerprint):
        assert text is None or (isinstance(text, str) and text.encode() is not None)
    for count in (reading.prompt_tokens, reading.completion_tokens):
        assert count is None or (type(count) is int and count >= 0)
    signal = reading.signal
    orjson.dumps(signal.model_dump(mode="json"))
    if isinstance(signal, Unscorable):
        assert signal.label is None or signal.label in LABELS.labels
        return
    assert any(True for _ in numbers(body)), "a score without alternatives"
    assert set(signal.label_probs) == set(LABELS)
    assert signal.label in LABELS.labels
    shares = list(signal.label_probs.values())
    assert all(0 <= share <= 1 for share in shares)
    assert math.isclose(sum(shares), 1, abs_tol=1e-9)
    assert 0 <= signal.confidence <= signal.top_k_mass + 1e-9
    assert signal.token_confidence <= signal.top_k_mass * 1.011
    assert signal.entropy <= math.log(len(LABELS)) + 1e-9
    assert signal.token_entropy <= math.log(signal.k + 1) + 1e-9
    assert signal.mean_logprob >= signal.min_logprob - 1e-9
    assert signal.confidence + signal.out_of_label <= signal.top_k_mass + 1e-9


@pytest.mark.parametrize("part", range(PARTS))
def test_mutated_bodies_never_raise_and_never_become_a_signal_without_one(part: int) -> None:
    outcomes: Counter[str] = Counter()
    for body in mutated(COUNT // PARTS, seed=part):
        reading = score(body, LABELS)
        check(reading, body)
        outcomes[str(getattr(reading.signal, "reason", "scored"))] += 1
    # The mutations must reach far, or this test would prove little.
    assert len(outcomes) >= 16, outcomes
    assert outcomes["scored"] > COUNT // PARTS // 20


@pytest.mark.parametrize("part", range(PARTS))
def test_no_answer_is_scored_with_a_number_that_is_not_its_own(part: int) -> None:
    ended, faults = answers.run(COUNT // PARTS, seed=part)
    assert faults == []
    assert ended["scored"] > COUNT // PARTS // 2, ended
    assert ended.keys() >= {"reasoning_only", "truncated", "not_a_label", "misaligned"}


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk)[:12])
def test_any_field_of_any_shape_may_turn_into_junk(junk: Any) -> None:
    for source in originals()[::13]:
        for path in _paths(orjson.loads(source)):
            body = orjson.loads(source)
            inner = body
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = junk
            check(score(body, LABELS), body)


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if path and path[-1] == "bytes":
            continue
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "logprobs", "token", "logprob", "top_logprobs", "text"])
            | st.sampled_from(["output", "candidates", "delta", "response", "tokens", "token_logprobs", "error", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(JSON)
def test_any_json_is_read_without_an_exception(body: Any) -> None:
    check(score(body, LABELS), body)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | st.text(max_size=200) | st.text('data:{}[]":,\n 0', max_size=60))
def test_any_bytes_are_read_without_an_exception(data: bytes | str) -> None:
    assert isinstance(score(data, LABELS).signal, Unscorable)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.integers(0, len(originals()) - 1), st.integers(0, 3000))
def test_a_body_that_breaks_off_is_not_json(number: int, at: int) -> None:
    data = originals()[number]
    signal = score(data[: min(at, len(data) - 1)], LABELS).signal
    assert isinstance(signal, Unscorable)
    assert signal.reason in (Reason.NOT_JSON, Reason.NO_ANSWER)


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_huge_lists_and_texts_are_read(size: int) -> None:
    top = [{"token": f"t{number}", "logprob": -90.0} for number in range(size)]
    entry = {"token": "refund", "logprob": -0.5, "top_logprobs": top}
    body = {"choices": [{"message": {"content": "refund"}, "logprobs": {"content": [entry]}}]}
    signal = score(body, LABELS).signal
    assert isinstance(signal, Scored)
    assert signal.k == size
    body["choices"][0]["message"]["content"] = "refund " * size
    assert isinstance(score(body, LABELS).signal, Unscorable)
    for text in ("<s>" * size, "{" * size, "a" * size, "</think>" * size, "```" * size, "\n" * size + "x"):
        body["choices"][0]["message"]["content"] = text
        for spelled in ("aaab" * (size // 8), text[1:], text + "<s>" * size):
            entry["token"] = spelled
            assert isinstance(score(body, LABELS).signal, Unscorable)
    body["choices"][0]["logprobs"] = {"content": [{"token": "<s>" * 10, "logprob": -0.5, "top_logprobs": top}] * 1000}
    assert isinstance(score(body, LABELS).signal, Unscorable)
