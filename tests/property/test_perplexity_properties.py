"""Nothing a server can send about a prompt raises anything, and a measurement follows from the numbers that came."""

from __future__ import annotations

import math
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fuzz.mutations import JUNK
from schemas import Measured, Unmeasured
from streams.core.signal.perplexity import MOST_SURPRISE, PerplexityRule, measure, risk
from streams.core.signal.prompt_logprobs import read_prompt
from tests.support.mutations import mutated

RULE = PerplexityRule(min_tokens=2, window_tokens=3, usual=4.0, low=1.0, high=8.0, window=10.0)
LOGPROBS = st.lists(st.floats(-60, 0), min_size=2, max_size=60)
JSON = st.recursive(
    st.sampled_from([value for value in JUNK if not isinstance(value, list | dict)]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "prompt_logprobs", "prompt_token_ids", "logprobs", "content", "tokens", "token_logprobs",
             "prompt", "token", "logprob", "decoded_token", "rank", "1", "error", "text", "bytes"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


@given(JSON, st.text(max_size=12))
def test_no_body_raises_anything(body: Any, text: str) -> None:
    check(read_prompt(body, text))


@given(JSON, st.sampled_from(["ab", "a", "  "]))
def test_no_choice_raises_anything(part: Any, text: str) -> None:
    for choice in ({"prompt_logprobs": part}, {"logprobs": part}, {"prompt_logprobs": [None, part]}):
        check(read_prompt({"choices": [choice]}, text))


def test_no_mutated_answer_is_taken_for_a_prompt() -> None:
    for body in mutated(4000, seed=5):
        found = read_prompt(body, "Where is the money that you promised me a week ago?")
        assert isinstance(found, Unmeasured)


def check(found: tuple[float, ...] | Unmeasured) -> None:
    if isinstance(found, Unmeasured):
        orjson.dumps(found.model_dump(mode="json"))
        return
    assert found
    assert all(logprob <= 0 for logprob in found)
    assert any(map(math.isfinite, found))


@given(LOGPROBS)
def test_the_window_is_the_worst_of_all_windows(logprobs: list[float]) -> None:
    found = measure(logprobs, RULE)
    assert isinstance(found, Measured)
    surprises = [min(-logprob, MOST_SURPRISE) for logprob in logprobs]
    windows = [sum(surprises[i : i + 3]) / 3 for i in range(len(surprises) - 2)]
    assert math.isclose(found.mean, math.fsum(surprises) / len(surprises), abs_tol=1e-9)
    assert (found.window is None) == (not windows)
    if found.window is not None:
        assert math.isclose(found.window, max(windows), abs_tol=1e-9)
        assert found.window >= found.mean - 1e-9 or len(surprises) % 3


@given(LOGPROBS, st.integers(0, 59), st.floats(0, 20))
def test_a_more_surprising_token_never_makes_the_text_less_strange(
    logprobs: list[float], place: int, more: float
) -> None:
    worse = list(logprobs)
    worse[place % len(worse)] -= more
    before, after = measure(logprobs, RULE), measure(worse, RULE)
    assert isinstance(before, Measured)
    assert isinstance(after, Measured)
    assert after.mean >= before.mean - 1e-9
    high = RULE.model_copy(update={"low": None})
    assert risk(high, after).score >= risk(high, before).score - 1e-9


@given(LOGPROBS, st.text("ab ", min_size=1, max_size=3))
def test_what_is_echoed_comes_back_whatever_is_generated_after_it(logprobs: list[float], generated: str) -> None:
    tokens = [f"<{number}>" for number in range(len(logprobs))]
    own: list[float | None] = [None, *logprobs[1:], -1.0]
    body = {"choices": [{"logprobs": {"tokens": [*tokens, generated], "token_logprobs": own}}]}
    assert read_prompt(body, "".join(tokens)) == tuple(logprobs[1:])
