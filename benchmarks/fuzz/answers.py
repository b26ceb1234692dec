"""Answers with a thought around them, in every family, shape and spelling, cut at any token: whose number is it?

Each case knows its truth: the answer's label and its probability, or that there is no answer. The thought holds labels too,
with other probabilities. A reading may refuse a case; it must never score it with a number that is not the answer's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from schemas.signal import Scored
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import Reading, score

LABELS = LabelSet(["refund", "billing", "Rückgabe", "退款"])
_WORDS = (
    "Maybe",
    " it",
    " is",
    " not",
    " the",
    "\n",
    " money",
    " back",
    ".",
    " Hmm",
    " said",
    "?",
    " so",
    " été",
    "。",
)
_NAMES = ("think", "thinking", "thought", "reasoning", "seed:think", "mm:think", "inner_monologue", "scratchpad")

Tokens = list["Token"]


@dataclass(frozen=True, slots=True)
class Token:
    """One token: what it spells, its probability, its rivals, and whether it is a marker that a server may drop."""

    text: str
    p: float
    others: dict[str, float] = field(default_factory=dict)
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One response body, and the answer that it holds: label and probability, both None if it holds none."""

    body: dict[str, Any]
    label: str | None
    p: float | None


def wrong(case: Case, reading: Reading) -> str | None:
    """Return what is wrong with a reading, or None; a refusal is never wrong."""
    signal = reading.signal
    if not isinstance(signal, Scored):
        return None
    if case.label is None or case.p is None:
        return f"scored {signal.label} {signal.confidence:.4f} where there is no answer"
    if signal.label != case.label or not math.isclose(signal.confidence, case.p, abs_tol=1e-6):
        return f"scored {signal.label} {signal.confidence:.4f}, the answer is {case.label} {case.p:.4f}"
    return None


def run(count: int, seed: int) -> tuple[dict[str, int], list[str]]:
    """Read ``count`` cases; return how they ended, by reason, and what was wrong."""
    ended: dict[str, int] = {}
    faults: list[str] = []
    for number, case in enumerate(cases(count, seed)):
        reading = score(case.body, LABELS)
        name = str(getattr(reading.signal, "reason", "scored"))
        ended[name] = ended.get(name, 0) + 1
        fault = wrong(case, reading)
        if fault:
            faults.append(f"case {number} of seed {seed}: {fault}")
    return ended, faults


def cases(count: int, seed: int) -> Iterator[Case]:
    """Yield cases, the same ones for the same seed."""
    random = Random(seed)
    for _ in range(count):
        yield _case(random)


def _case(random: Random) -> Case:
    label = random.choice(LABELS.labels)
    p = round(random.uniform(0.55, 0.85), 4)
    before, after = random.choice(_FAMILIES)(random)
    answer = _answer(label, p, random)
    tokens = [*before, *answer, *after]
    first, last = len(before), len(before) + len(answer)
    gone = random.random() < 0.25  # without one marker
    places = [place for place, token in enumerate(tokens) if token.marker]
    if gone and places:
        place = random.choice(places)
        del tokens[place]
        first, last = first - (place < first), last - (place < last)
    if before and not tokens[0].marker:
        # Its opening marker stood in the prompt or is gone: cut before the closing one, a bare label would be an answer.
        tokens.insert(0, Token("Well", 0.9, {"x": 0.05}))
        first, last = first + 1, last + 1
    cut = random.randrange(1, len(tokens) + 1) if random.random() < 0.3 else None
    if cut is not None:
        tokens = tokens[:cut]
    whole = len(tokens) >= last
    return Case(_body(tokens, first, last, random, cut=cut is not None), *((label, p) if whole else (None, None)))


def _answer(label: str, p: float, random: Random) -> Tokens:
    """Spell the label in one token or in bytes; only the first token has rivals."""
    rivals = [other for other in LABELS if other != label]
    shares = {other: round((0.98 - p) / len(rivals), 6) for other in rivals}
    lead = random.choice(("", "", " ", "\n"))
    return [Token(lead + label, p, {lead + other: share for other, share in shares.items()})]


def _prose(random: Random) -> Tokens:
    """A thought: words, among them labels with other numbers; often it is nothing but a label."""
    tokens: Tokens = []
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        if random.random() < 0.4:
            label, other = random.sample(LABELS.labels, 2)
            tokens.append(Token(random.choice(("", " ", "\n")) + label, 0.97, {other: 0.01}))
        else:
            tokens.append(Token(random.choice(_WORDS), 0.9, {"x": 0.05}))
    return tokens


def _marks(*texts: str) -> Tokens:
    return [Token(text, 0.97, {"x": 0.01}, marker=True) for text in texts]


def _kept(text: str) -> Token:
    """A marker behind another thought: without it, and cut, what follows cannot be told from an answer."""
    return Token(text, 0.97, {"x": 0.01})


def _plain(random: Random) -> tuple[Tokens, Tokens]:
    return [], _marks(random.choice(("<|im_end|>", "</s>", "<eos>", "<|eot_id|>"))) * random.randrange(2)


def _tags(random: Random) -> tuple[Tokens, Tokens]:
    name = random.choice(_NAMES)
    opening, closing = random.choice(
        (
            (f"<{name}>", f"</{name}>"), (f"<{name.upper()}>", f"</{name.upper()}>"), ("[THINK]", "[/THINK]"),
            ("◁think▷", "◁/think▷"), ("<|START_THINKING|>", "<|END_THINKING|>"), ("<|channel>thought", "<channel|>"),
            ("<|begin_of_thought|>", "<|end_of_thought|>"), ("<unused94>thought", "<unused95>"),
        )
    )  # fmt: skip
    before: Tokens = []
    for _ in range(random.choice((1, 1, 1, 2))):
        before += [_kept(opening)] if before else _marks(opening)
        before += [*_prose(random), *_marks(closing)]
    if random.random() < 0.2:
        before = before[1:]  # the opening tag stood in the prompt
    return before, _plain(random)[1]


def _nested(random: Random) -> tuple[Tokens, Tokens]:
    inner = [_kept("<think>"), *_prose(random), *_marks("</think>")]
    return [*_marks("<think>"), *_prose(random), *inner, *_prose(random), *_marks("</think>")], []


def _harmony(random: Random) -> tuple[Tokens, Tokens]:
    before: Tokens = []
    for _ in range(random.randrange(1, 3)):
        channel = random.choice(("analysis", "commentary"))
        head = [*_marks("<|start|>"), Token("assistant", 0.9, {"x": 0.05})] if before else []
        before += [*head, *_marks("<|channel|>"), Token(channel, 0.9, {"x": 0.05}), *_marks("<|message|>")]
        before += [*_prose(random), *_marks("<|end|>")]
    before += [*_marks("<|start|>"), Token("assistant", 0.9, {"x": 0.05}), *_marks("<|channel|>")]
    before += [Token("final", 0.9, {"x": 0.05}), *_marks("<|message|>")]
    return before, _marks("<|return|>") * random.randrange(2)


def _glued(random: Random) -> tuple[Tokens, Tokens]:
    return [Token("analysis", 0.9, {"x": 0.05}), *_prose(random), *_marks("assistantfinal")], []


_FAMILIES: tuple[Callable[[Random], tuple[Tokens, Tokens]], ...] = (
    _plain, _tags, _tags, _tags, _nested, _harmony, _harmony, _glued,
)  # fmt: skip


def _body(tokens: Tokens, first: int, last: int, random: Random, *, cut: bool) -> dict[str, Any]:
    """A chat body: the content as it was written, or clean; the tokens as text, or as their vocabulary spells them."""
    spell = random.choice((str, str, byte_level, sentence_piece))
    honest = random.choice((True, False, None))
    text = "".join(token.text for token in tokens)
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if random.random() < 0.4:  # a server that parts the thought from the answer
        message["content"] = "".join(token.text for token in tokens[first:last] if not token.marker).strip()
        if random.random() < 0.7:
            message["reasoning_content"] = "".join(token.text for token in tokens[:first] if not token.marker)
        if random.random() < 0.4:  # and drops the markers from the list too
            tokens = [replace(token, text="") if token.marker else token for token in tokens]
    elif random.random() < 0.2:
        message["content"] = spell(text)
    entries = [_entry(token, spell, honest=honest) for token in tokens]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": entries},
        "finish_reason": "length" if cut else "stop",
    }
    return {"object": "chat.completion", "model": "m", "choices": [choice]}


def _entry(token: Token, spell: Callable[[str], str], *, honest: bool | None) -> dict[str, Any]:
    def listed(text: str, p: float) -> dict[str, Any]:
        written = text if token.marker else spell(text)
        raw = None if honest is None else list((text if honest else written).encode())
        return {"token": written, "logprob": math.log(p), "bytes": raw}

    top = [listed(text, p) for text, p in {token.text: token.p, **token.others}.items()]
    return {**listed(token.text, token.p), "top_logprobs": top}


_PRINTS = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_CHARACTERS = {byte: chr(byte) for byte in _PRINTS}
_CHARACTERS |= {byte: chr(0x100 + n) for n, byte in enumerate(b for b in range(256) if b not in _PRINTS)}


def byte_level(text: str) -> str:
    """Spell a text as byte-level BPE does: one character for each byte."""
    return "".join(_CHARACTERS[byte] for byte in text.encode())


def sentence_piece(text: str) -> str:
    """Spell a text as SentencePiece does."""
    return text.replace(" ", "▁").replace("\n", "<0x0A>")
