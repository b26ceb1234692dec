from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from schemas import Example
from streams.core.memory.index import Vectors
from streams.core.memory.vector_bytes import unpacked
from streams.errors import SettingsError
from streams.kafka.ticket_rows import Fault
from streams.memory import loading
from streams.memory.labelled_rows import LabelledRow
from streams.memory.loading import changes, embedded, embedded_again, is_same_again, read_rows, require_model
from tests.support.memories import Letters
from tests.support.messages import example

LABELS = ("refund", "account")
AT_MS = 1_800_000_000_000


def row(
    ticket_id: str = "t-1", text: str = "Where is my money?", label: str | None = "refund", **more: object
) -> LabelledRow:
    return LabelledRow(ticket_id, ticket_id, text, label, **more)  # type: ignore[arg-type]


def known(*examples: Example) -> Callable[[str], Example | None]:
    return {each.example_id: each for each in examples}.get


def test_the_last_row_of_an_id_counts_and_the_refused_ones_are_named() -> None:
    lines = [
        (1, b'{"ticket_id": "t-1", "text": "x", "label": "refund"}'),
        (2, b'{"ticket_id": "t-2", "text": "y"}'),
        (4, Fault("wrong_columns", "3 columns")),
        (5, b'{"ticket_id": "t-1", "text": "z", "label": "account"}'),
    ]
    rows = read_rows(lines, LABELS, ())
    assert [(each.example_id, each.text, each.label) for each in rows.by_id.values()] == [
        ("t-2", "y", None),
        ("t-1", "z", "account"),
    ]
    assert rows.repeated == 1
    assert [(each.line, each.reason) for each in rows.refusals.lines] == [(4, "wrong_columns")]


def test_a_file_has_so_many_rows_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "MAX_ROWS", 2)
    lines = [(number, b'{"text": "%d"}' % number) for number in (1, 2, 3)]
    assert len(read_rows(lines[:2], LABELS, ()).by_id) == 2
    with pytest.raises(SettingsError, match="line 3: more than 2 labelled tickets"):
        read_rows(lines, LABELS, ())


def test_a_row_is_new_the_same_or_says_something_else() -> None:
    found = changes([row("a"), row("b"), row("c", label=None), row("d", slice="x")], known(*map(example, "bcd")))
    assert [each.example_id for each in found.added] == ["a"]
    assert [each.example_id for each in found.replaced] == ["c", "d"]
    assert (found.same, found.verdicts) == (1, 0)
    assert [each.example_id for each in found.all] == ["a", "c", "d"]


def test_who_loads_it_and_when_makes_no_row_another_one() -> None:
    assert changes([row()], known(example(by="eve", at_ms=5))).same == 1


@pytest.mark.parametrize(
    ("more", "replaced"),
    [
        ({}, False),
        ({"verdict_by": "eve"}, False),
        ({"verdict_by": "eve", "verdict_at_ms": 999}, False),
        ({"verdict_by": "eve", "verdict_at_ms": 1_000}, False),
        ({"verdict_by": "eve", "verdict_at_ms": 1_001}, True),
    ],
)
def test_only_a_later_verdict_replaces_a_verdict(more: dict[str, object], replaced: bool) -> None:
    verdict = example(source="verdict", at_ms=1_000)
    found = changes([row(label="account", **more)], known(verdict))
    assert (len(found.replaced), found.verdicts) == (int(replaced), int(not replaced))


def test_a_verdict_replaces_what_a_file_said() -> None:
    assert len(changes([row(verdict_by="eve", verdict_at_ms=1)], known(example())).replaced) == 1


async def test_rows_become_examples_with_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_CHUNK", 2)
    rows = [row("a", "x"), row("b", "xy", None, slice="s"), row("c", "z", verdict_by="eve", verdict_at_ms=7)]
    embedder = Letters()
    chunks = [some async for some in embedded(rows, embedder, by="ada", at_ms=AT_MS)]
    assert [len(some) for some in chunks] == [2, 1]
    a, b, c = (each for some in chunks for each in some)
    assert a is not None
    assert b is not None
    assert c is not None
    assert (a.source, a.by, a.at_ms, a.embedding_model) == ("file", "ada", AT_MS, "letters")
    assert (b.label, b.slice, b.ticket_id) == (None, "s", "b")
    assert (c.source, c.by, c.at_ms) == ("verdict", "eve", 7)
    for each in (a, b, c):
        assert Example.decode(each.encode()) == each
    expected = await Letters().embed(["x", "xy", "z"])
    assert unpacked([a.vector, b.vector, c.vector]) == pytest.approx(expected, abs=1e-3)


class Fastidious(Letters):
    model = "fastidious"

    async def embed(self, texts: Sequence[str]) -> Vectors:
        vectors = await super().embed(texts)
        vectors[[place for place, text in enumerate(texts) if "bomb" in text]] = 0
        return vectors


async def test_a_text_without_an_embedding_is_none() -> None:
    rows = [row("a", "x"), row("b", "a bomb"), row("c", "z")]
    [chunk] = [some async for some in embedded(rows, Fastidious(), by="ada", at_ms=AT_MS)]
    assert [None if each is None else each.example_id for each in chunk] == ["a", None, "c"]


async def test_examples_are_embedded_again_and_stay_what_they_are() -> None:
    before = example(source="verdict", label=None)
    [[after]] = [some async for some in embedded_again([before], Fastidious())]
    assert after is not None
    assert Example.decode(after.encode()) == after
    changed = {"embedding_model": "fastidious", "vector": after.vector}
    assert after == before.model_copy(update=changed)
    assert len(np.frombuffer(after.vector, dtype="<f2")) == 128


def test_an_example_is_the_same_again_if_only_its_vector_changed() -> None:
    before = example()
    after = before.model_copy(update={"embedding_model": "other", "vector": b"\x00\x3c"})
    assert is_same_again(after, before)
    assert not is_same_again(after, None)
    assert not is_same_again(after, example(label="account"))


def test_vectors_of_another_model_are_refused_with_the_way_out() -> None:
    require_model([example()], "letters")
    require_model([], "letters")
    with pytest.raises(SettingsError, match=r"of 2 examples are of 'letters', .* 'other': hedgerow memory rebuild"):
        require_model([example("a"), example("b"), example("c", embedding_model="other")], "other")
