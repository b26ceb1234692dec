"""How an answer becomes tokens with logprobs: what a language model's output layer does to a choice between labels.

A label is spoken in one or two tokens, and its first token comes in several spellings (capitalised, with a leading
space). A little mass goes to tokens that begin no label. Summing the spellings gives the label distribution back,
times `LABEL_MASS`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from streams.errors import SettingsError
from streams.sandbox.log_softmax import log_softmax
from streams.sandbox.model_server.classifiers import Floats

END = "<|end|>"
"""The token that ends an answer; it is never part of the answer, but it may be among the alternatives."""

LABEL_MASS = 0.98
"""The share of the first token's mass that begins some label, in any spelling."""

_CONTINUATION_MASS = 0.997
"""The share of the second token's mass that continues a label."""

_SPELLING_SHARES = (0.970, 0.017, 0.009, 0.004)
"""As the label is written; with a leading space; in the other case; both."""

# fmt: off
_STARTERS = (
    "The", "\n", "This", " The", "I", "Sure", "It", "Based", "**", "Category", "Label", "Answer", "Unknown", "Other",
)
"""How models begin when they do not begin with the label; Zipf shares of 90 % of what no label has."""

_NOISE = (
    "\n\n", "<", "```", "Q", "ing", "zu", "0", "1", "A", "B", "-", " a", "{", "(", "#", "=>", "Hmm", "Okay", "Well",
    "Yes", "No", "As", "In", "To", "We", "You", "My", "None", "Mixed", "Please", "Let", " that", "er", "est",
)
"""Tokens of the long tail, which share the last 10 % and sink under the top 20 when many labels are likely."""
# fmt: on

_SMALLEST = 1e-300
"""Keeps the logarithm of a vanished probability finite."""

_SPLIT = re.compile(r"(?<=\w)(?=[_\W])")
_LONGEST_TOKEN = 8


@dataclass(frozen=True, slots=True)
class GeneratedToken:
    """One token of an answer: its logprob in nats, and the alternatives as (token, logprob), highest first."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens of an answer, and whether the token limit cut it."""

    tokens: tuple[GeneratedToken, ...]
    cut: bool

    @property
    def text(self) -> str:
        """The answer as text."""
        return "".join(token.token for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a request wants its answer: alternatives a token, temperature, most tokens, and the sampling seed."""

    top: int = 0
    temperature: float = 0.0
    max_tokens: int = 16
    seed: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Vocabulary:
    """The tokens possible at one position.

    ``group`` names the branch a token takes (-1: it begins or continues no label) and ``log_share`` its share of
    that branch's mass.
    """

    tokens: tuple[str, ...]
    group: NDArray[np.intp]
    log_share: Floats

    def logits(self, log_masses: Floats, inside: float, rng: np.random.Generator, jitter: float) -> Floats:
        """Return the score of each token if the branches share the mass ``inside`` as ``log_masses`` says."""
        masses = np.append(log_masses + np.log(inside), np.log1p(-inside))  # group -1 picks the last
        logits: Floats = masses[self.group] + self.log_share
        return logits + rng.normal(0.0, jitter, len(logits)) if jitter > 0.0 else logits

    def drifted(self, sigma: float, rng: np.random.Generator) -> _Vocabulary:
        noise = rng.normal(0.0, sigma * float(self.log_share.std()), len(self.tokens))
        return replace(self, log_share=self.log_share + noise)


@dataclass(frozen=True, slots=True, eq=False)
class OutputLayer:
    """Turns log probabilities of labels into tokens; build one with `OutputLayer.of`.

    A branch is what follows one first token, its spellings taken together: mostly one label, more when labels begin
    alike.
    ``branch`` gives the branch of each label, ``second`` the tokens that may follow in each branch.
    """

    first: _Vocabulary
    second: tuple[_Vocabulary | None, ...]
    branch: NDArray[np.intp]

    @classmethod
    def of(cls, labels: Sequence[str]) -> OutputLayer:
        """Lay out the tokens of ``labels``. Labels of one branch are all written as the first of them is.

        Raises SettingsError for fewer than two labels, for one that is empty or has space around it, and for two
        that differ in case only.
        """
        if len(labels) < 2 or len({label.casefold() for label in labels}) < len(labels):
            raise SettingsError(f"a model needs two or more labels that differ in more than case, got {list(labels)}")
        if any(not label or label != label.strip() for label in labels):
            raise SettingsError(f"a label must not be empty or have space around it, got {list(labels)}")
        split = [label_tokens(label) for label in labels]
        heads: dict[str, int] = {}
        branch = [heads.setdefault(head.casefold(), len(heads)) for head, _ in split]
        spellings: dict[str, tuple[int, float]] = {}
        rests: list[list[str]] = [[] for _ in heads]
        for number, (head, rest) in zip(branch, split, strict=True):
            if not rests[number]:
                spellings |= {spelling: (number, share) for spelling, share in _spellings(head).items()}
            rests[number].append(rest)
        others = _others(labels)
        return cls(
            first=_vocabulary(spellings, others),
            second=tuple(_continuations(branch_rests, others) for branch_rests in rests),
            branch=np.array(branch, dtype=np.intp),
        )

    def drifted(self, sigma: float, seed: int) -> OutputLayer:
        """Return a copy whose token scores carry Gaussian noise of ``sigma`` times their own standard deviation."""
        rng = np.random.default_rng(seed)
        second = tuple(vocabulary and vocabulary.drifted(sigma, rng) for vocabulary in self.second)
        return replace(self, first=self.first.drifted(sigma, rng), second=second)

    def answer(
        self, label_log_probs: Floats, decoding: Decoding, rng: np.random.Generator, jitter: float = 0.0
    ) -> Answer:
        """Speak the answer: greedily at temperature 0, else sampled.

        ``jitter`` is the standard deviation of the noise of each logit, in nats. The reported logprobs are the model's
        own whatever the temperature is, as llama.cpp reports them.
        """
        if decoding.max_tokens < 1:
            return Answer((), cut=True)
        chance = rng if decoding.seed is None else np.random.default_rng(decoding.seed % 2**64)
        masses = np.log(np.maximum(np.bincount(self.branch, weights=np.exp(label_log_probs)), _SMALLEST))
        token, branch = _generate(self.first.logits(masses, LABEL_MASS, rng, jitter), self.first, decoding, chance)
        rest = self.second[branch] if branch >= 0 else None
        if rest is None:
            return Answer((token,), cut=False)
        within = log_softmax(label_log_probs[self.branch == branch])
        more, _ = _generate(rest.logits(within, _CONTINUATION_MASS, rng, jitter), rest, decoding, chance)
        if more.token == END:
            return Answer((token,), cut=False)
        if decoding.max_tokens < 2:
            return Answer((token,), cut=True)
        return Answer((token, more), cut=False)


def label_tokens(label: str) -> tuple[str, str]:
    """Return the one or two tokens that spell ``label``; the second is empty when one is enough.

    A label of several words breaks after its first word, a single word longer than eight characters in its middle.
    """
    words = _SPLIT.split(label, maxsplit=1)
    if len(words) == 2 and words[1]:
        return words[0], words[1]
    if len(label) <= _LONGEST_TOKEN:
        return label, ""
    middle = (len(label) + 1) // 2
    return label[:middle], label[middle:]


def _generate(
    logits: Floats, vocabulary: _Vocabulary, decoding: Decoding, chance: np.random.Generator
) -> tuple[GeneratedToken, int]:
    """Choose one token; returns it with the branch it takes (-1: none)."""
    log_probs = log_softmax(logits)
    if decoding.temperature > 0.0:
        chosen = int(np.argmax(log_probs / decoding.temperature + chance.gumbel(size=len(log_probs))))
    else:
        chosen = int(np.argmax(log_probs))
    order = np.argsort(-log_probs, kind="stable")[: decoding.top]
    values = log_probs.tolist()
    top = tuple((vocabulary.tokens[i], values[i]) for i in order.tolist())
    return GeneratedToken(vocabulary.tokens[chosen], values[chosen], top), int(vocabulary.group[chosen])


def _spellings(head: str) -> dict[str, float]:
    other = head[0].swapcase() + head[1:]
    shares: dict[str, float] = {}
    for spelling, share in zip((head, f" {head}", other, f" {other}"), _SPELLING_SHARES, strict=True):
        shares[spelling] = shares.get(spelling, 0.0) + share
    return shares


def _continuations(rests: Sequence[str], others: dict[str, float]) -> _Vocabulary | None:
    if not any(rests):
        return None
    return _vocabulary({rest or END: (i, 1.0) for i, rest in enumerate(rests)}, others)


def _others(labels: Sequence[str]) -> dict[str, float]:
    """Return the tokens that begin no label, with their shares of the mass that no label has."""
    folded = [label.casefold() for label in labels]

    def fits(token: str) -> bool:
        start = token.strip().casefold()
        return start == "" or not any(label.startswith(start) for label in folded)

    starters, noise = list(filter(fits, _STARTERS)), list(filter(fits, _NOISE))
    weights = [0.9 * share for share in _zipf(len(starters))] + [0.1 * share for share in _zipf(len(noise))]
    return dict(zip(starters + noise, weights, strict=True))


def _zipf(count: int) -> Floats:
    weights: Floats = 1.0 / np.arange(1, count + 1)
    weights /= weights.sum()
    return weights


def _vocabulary(inside: dict[str, tuple[int, float]], outside: dict[str, float]) -> _Vocabulary:
    taken = {token: share for token, share in outside.items() if token not in inside}
    shares = np.array([share for _, share in inside.values()] + list(taken.values()))
    return _Vocabulary(
        tokens=(*inside, *taken),
        group=np.array([branch for branch, _ in inside.values()] + [-1] * len(taken), dtype=np.intp),
        log_share=np.log(shares),
    )
