"""What the memory says of one ticket: how new it is, what its neighbours are labelled, and which of them to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from schemas import Call, Neighbour
from streams.core.memory.example import Example
from streams.core.memory.index import Vectors

NEIGHBOURS = 8
"""How many of the nearest labelled tickets measure the novelty and vote."""

CANDIDATES = 4 * NEIGHBOURS
"""How many of the nearest to look at for ``recall``: some are the ticket itself, near-duplicates or out of scope."""

NEAR = 0.75
"""A labelled ticket that is less similar is none that may answer alone, and is not kept for it."""

_SAME = 0.97
"""Two texts that are at least this similar are near-duplicates: the second would tell a model nothing."""

_MAX_CHARS = 500
"""The longest text of an example in a prompt; of a longer one the beginning is shown."""


@dataclass(frozen=True, slots=True)
class NearExample:
    """An example near a ticket, with their cosine similarity."""

    example: Example
    similarity: float

    @property
    def neighbour(self) -> Neighbour:
        """What a message says of it."""
        return Neighbour(id=self.example.id, similarity=self.similarity, label=self.example.label)


@dataclass(frozen=True, slots=True)
class Recalled:
    """What the memory says of one ticket; without any example it says nothing."""

    novelty: float | None = None
    """1 less the mean similarity to the nearest examples that have a label: 0 is known word for word, 1 is unlike any."""
    neighbour_label: str | None = None
    """The label that most of the nearest examples have; None if all of them are out of scope."""
    neighbour_share: float | None = None
    """The share of the nearest examples that have it."""
    neighbour_novelty: float | None = None
    """The mean novelty of the nearest examples themselves, against those that are near the ticket, too. None if only one
    example has a label."""
    shown: tuple[NearExample, ...] = ()
    """The examples for the prompt, the nearest last."""
    neighbours: tuple[NearExample, ...] = ()
    """The nearest examples, labelled or not, the nearest first."""


def recall(near: Sequence[NearExample], vectors: Vectors, ticket_id: str, examples: int) -> Recalled:
    """Return what the examples near a ticket say of it, and at most ``examples`` of them to show.

    ``near`` holds the ``CANDIDATES`` nearest, the nearest first, and ``vectors`` their embeddings in the same order. An
    example that comes from the same ticket counts for nothing: it would give the ticket's own label away.
    """
    places = [place for place, one in enumerate(near) if one.example.ticket_id != ticket_id]
    labelled = [place for place in places if near[place].example.label is not None]
    known = [near[place].similarity for place in labelled[:NEIGHBOURS]]
    votes = [near[place].example.label for place in places[:NEIGHBOURS]]
    # Counter keeps the order of what it saw: of two labels with as many votes the one with the nearer example wins.
    winner = Counter(label for label in votes if label is not None).most_common(1)
    label, count = winner[0] if winner else (None, 0)
    chosen = _unlike(labelled, vectors, examples)
    return Recalled(
        novelty=min(2.0, max(0.0, 1 - sum(known) / len(known))) if known else None,
        neighbour_label=label,
        neighbour_share=count / len(votes) if votes else None,
        neighbour_novelty=_apart(vectors[labelled]),
        shown=tuple(near[place] for place in reversed(chosen)),
        neighbours=tuple(near[place] for place in places[:NEIGHBOURS]),
    )


def recalled_before(call: Call, ticket_id: str, known: Callable[[str], Example | None]) -> Recalled | None:
    """Return what an earlier call about the same ticket says that the memory said; None if it says nothing.

    ``known`` returns an example by its id: one that was forgotten since, or that comes from this ticket, is not shown.
    """
    if call.novelty is None and call.neighbour_share is None:
        return None
    found = ((known(one.id), one.similarity) for one in call.shown)
    return Recalled(
        novelty=call.novelty,
        neighbour_label=call.neighbour_label,
        neighbour_share=call.neighbour_share,
        neighbour_novelty=call.neighbour_novelty,
        shown=tuple(
            NearExample(example, similarity)
            for example, similarity in found
            if example is not None and example.ticket_id != ticket_id
        ),
    )


def excerpt(text: str) -> str:
    """Return an example's text as it stands in a prompt: the beginning of a long one."""
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 1]}…"


def _apart(vectors: Vectors) -> float | None:
    """Return the mean novelty of the nearest examples, each left out of those that it is compared with.

    ``vectors`` are all labelled examples near the ticket, the nearest first. Most of an example's own neighbours are among
    them, so the whole memory need not be searched.
    """
    count = min(NEIGHBOURS, len(vectors) - 1)
    if count < 1:
        return None
    found = vectors[:NEIGHBOURS] @ vectors.T
    np.fill_diagonal(found, -2.0)  # below every cosine: an example is not its own neighbour
    nearest = np.partition(found, -count, axis=1)[:, -count:]
    return min(2.0, max(0.0, 1 - float(nearest.mean())))


def _unlike(places: Sequence[int], vectors: Vectors, count: int) -> list[int]:
    """Return the first ``count`` places without those that are near-duplicates of an earlier one."""
    if not count or not places:
        return []
    same = (vectors @ vectors.T >= _SAME).tolist()  # all at once: that is quicker than the few that are needed
    chosen: list[int] = []
    for place in places:
        if len(chosen) == count:
            break
        if not any(same[place][other] for other in chosen):
            chosen.append(place)
    return chosen
