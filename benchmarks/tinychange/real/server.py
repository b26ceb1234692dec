"""A model as a real server serves it: several requests in one batch, prompts in the cache or not."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.tinychange.recording import Ints
from streams.errors import SandboxError
from streams.sandbox.language_model.distribution import LogProbs
from streams.sandbox.language_model.engine import Engine, Logits
from streams.sandbox.log_softmax import log_softmax

TOGETHER = 8
"""Completions that are sampled in one batch, each in a sequence of the cache."""

LONGEST_COMPANY = 100
"""Tokens of another request's prompt that share the batch, at most."""

ALONE = 0.5
"""Share of the requests that have a batch for themselves."""

BLOCK, MOST_BLOCKS = 32, 2
"""The runtime computes batches of 32 tokens and more, and of 64 and more, in other ways than smaller ones."""

_HEAD, _WHOLE, _OTHER = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Fed:
    """One token on its way into the cache: where it goes, and whether the logits after it are wanted."""

    token: int
    position: int
    sequence: int
    wanted: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """How a server happens to serve one request."""

    cached: bool
    """Whether all that stands before the last part of the prompt was read earlier."""

    company: int
    """Tokens of another request in the same batch."""

    first: bool = False
    """Whether the request stands before its company in the batch."""

    threads: int = 1


class RealServer(Engine):
    """A loaded model with a cache of the latest beginning of a prompt, and another request to share batches with."""

    def __init__(
        self, path: Path, company: str, *, begin: str | None = None, companies: Sequence[int] | None = None
    ) -> None:
        """Load the model; ``company`` is the text of the other request, ``LONGEST_COMPANY`` tokens or more.

        ``begin`` names the control token that texts begin with, as ``Engine`` takes it. ``companies`` are the numbers of
        tokens of company that a request may have; None: any up to ``LONGEST_COMPANY``.
        """
        super().__init__(path, begin=begin)
        number = ctypes.c_int32
        self._library.llama_kv_cache_seq_cp.argtypes = [ctypes.c_void_p, *([number] * 4)]
        self._library.llama_kv_cache_seq_cp.restype = None
        self._library.llama_set_n_threads.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32]
        self._company = self.tokens(company)
        self._companies = companies
        self._kept: list[int] = []
        self._answered: dict[tuple[str, str, Situation], LogProbs] = {}

    def log_probs(self, text: str, chance: np.random.Generator, before: str = "") -> LogProbs:
        """Return the log probabilities after a prompt, in a situation drawn at random.

        A prompt with a beginning of its own (``before``) finds that cached and has no company, which would double what
        a long run costs. Situations of one kind have one answer (``modes`` measures that), so each kind is asked once:
        whether the beginning was cached, and how many blocks of ``BLOCK`` tokens the batch fills.
        """
        alone = bool(before) or chance.random() < ALONE
        if alone:
            company = 0
        elif self._companies is None:
            company = int(chance.integers(1, LONGEST_COMPANY + 1))
        else:
            company = int(chance.choice(self._companies))
        cached = bool(before) or chance.random() < 0.5
        if self._companies is None:
            own = len(self.tokens(text)) + (0 if cached else 1)
            company = max(0, min((own + company) // BLOCK, MOST_BLOCKS) * BLOCK - own)
        kind = (before, text, Situation(cached, company))
        if kind not in self._answered:
            self._answered[kind] = log_softmax(self.answer(*kind))
        return self._answered[kind]

    def reread(self) -> None:
        """Forget all that was read and answered: the weights are others now."""
        self.forget_all()
        self._kept = []
        self._answered = {}

    def answer(self, before: str, text: str, situation: Situation) -> Logits:
        """Return the logits after ``before`` and ``text``, served in this situation."""
        self._library.llama_set_n_threads(self._context, situation.threads, situation.threads)
        head, tail = [self.begin, *self.tokens(before)], self.tokens(text)
        if situation.cached:
            self._keep(head)
            asked = _fed(tail, _HEAD, len(head))
        else:
            asked = _fed([*head, *tail], _WHOLE, 0)
        other = _fed(self._company[: situation.company], _OTHER, 0)
        self.feed([*asked, *other] if situation.first else [*other, *asked])
        found = self._logits(len(asked) - 1 + (0 if situation.first else len(other)))
        self.forget(_WHOLE)
        self.forget(_OTHER)
        self.forget(_HEAD, len(self._kept))
        return found

    def completions(self, text: str, count: int, length: int, chance: np.random.Generator) -> Ints:
        """Return tokens sampled at temperature 1, ``TOGETHER`` completions in a batch; -1 after the end."""
        prompt = [self.begin, *self.tokens(text)]
        rounds = [self._round(prompt, length, chance) for _ in range(-(-count // TOGETHER))]
        return np.concatenate(rounds)[:count]

    def first_token(self, text: str) -> int:
        """Return the first token of a text."""
        return self.tokens(text)[0]

    def count(self, text: str) -> int:
        """Return how many tokens a text has, the one that begins every prompt included."""
        return 1 + len(self.tokens(text))

    def feed(self, batch: Sequence[Fed]) -> None:
        """Read tokens of several sequences in one batch; their logits wait in the library."""
        made = self._api.llama_batch_init(len(batch), 0, 1)
        try:
            made.n_tokens = len(batch)
            for place, one in enumerate(batch):
                made.token[place], made.pos[place] = one.token, one.position
                made.n_seq_id[place], made.seq_id[place][0] = 1, one.sequence
                made.logits[place] = one.wanted
            status = self._api.llama_decode(self._context, made)
        finally:
            self._api.llama_batch_free(made)
        if status:
            raise SandboxError(f"the language model failed to read a batch (status {status})")

    def _keep(self, head: list[int]) -> None:
        if head != self._kept:
            self.forget(_HEAD)
            self.read(head, _HEAD, 0)
            self._kept = head

    def _round(self, prompt: list[int], length: int, chance: np.random.Generator) -> Ints:
        self.forget_all()
        self._kept = []
        shares = _shares(self.read(prompt, 0, 0))
        for sequence in range(1, TOGETHER):
            self._library.llama_kv_cache_seq_cp(self._context, 0, sequence, 0, -1)
        found = np.full((TOGETHER, length), -1, np.int64)
        found[:, 0] = [_drawn(shares, chance) for _ in range(TOGETHER)]
        going = [one for one in range(TOGETHER) if not self.ends(found[one, 0])]
        for step in range(1, length):
            if not going:
                break
            self.feed([Fed(int(found[one, step - 1]), len(prompt) + step - 1, one, wanted=True) for one in going])
            for place, one in enumerate(going):
                found[one, step] = _drawn(_shares(self._logits(place)), chance)
            going = [one for one in going if not self.ends(found[one, step])]
        self.forget_all()
        return found


def _fed(tokens: Sequence[int], sequence: int, start: int) -> list[Fed]:
    last = len(tokens) - 1
    return [Fed(token, start + place, sequence, place == last) for place, token in enumerate(tokens)]


def _shares(logits: Logits) -> Logits:
    """Return cumulated probabilities, not normalised."""
    shares: Logits = np.cumsum(np.exp(logits - logits.max()), dtype=np.float64)
    return shares


def _drawn(shares: Logits, chance: np.random.Generator) -> int:
    return int(np.searchsorted(shares, chance.random() * shares[-1], "right"))
