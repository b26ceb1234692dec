"""Whatever arrives on a topic is a message or an InvalidMessage, and whatever is a message has a key and comes back."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import MAX_TEXT, TOPICS, InvalidMessage, Message, Ticket, stable_id
from tests.support.messages import one_of_each, ticket

REASONS = {"empty_message", "not_json", "wrong_schema", "unknown_schema_version"}
FULL = {name: json.loads(message.encode()) for name, message in one_of_each().items()}

# Surrogates and numbers of any size included: Python writes them, and so do real producers.
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**30, -(10**400), 2**63, 2**64])
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20)
    | st.sampled_from(["\ud800", "x\udfff", "", " ", "scored", "unscorable", "cheap", "null"])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
topics = st.sampled_from(sorted(TOPICS))
seeded = settings(deadline=None, max_examples=200, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def take(name: str, data: bytes) -> Message | None:
    try:
        message = TOPICS[name].message.decode(data)
    except InvalidMessage as error:
        invalid: InvalidMessage | None = error
    else:
        invalid = None
    if invalid is not None:
        assert invalid.reason in REASONS
        assert 0 < len(str(invalid)) < 1_000
        str(invalid).encode()
        return None
    assert isinstance(TOPICS[name].key_of(message), bytes)
    # Not the values: NaN among an alert's details comes back as null, and is no NaN's equal anyway.
    assert type(message).decode(message.encode()).encode() == message.encode()
    return message


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, inner in items for found in places(inner, (*path, key)))]


@given(topics, st.binary(max_size=200))
@seeded
def test_any_bytes(name: str, data: bytes) -> None:
    take(name, data)


@given(topics, values)
@seeded
def test_any_json(name: str, value: Any) -> None:
    take(name, json.dumps(value).encode())


@given(topics, st.data())
@seeded
def test_a_message_with_one_thing_replaced_or_gone(name: str, data: st.DataObject) -> None:
    row = json.loads(json.dumps(FULL[name]))
    path = data.draw(st.sampled_from([place for place in places(row) if place]))
    inner = row
    for key in path[:-1]:
        inner = inner[key]
    if data.draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner[path[-1]] = data.draw(values)
    take(name, json.dumps(row).encode())


@given(topics, st.integers(0, 400), st.integers(0, 255))
@seeded
def test_a_message_with_one_byte_changed_or_cut_short(name: str, place: int, byte: int) -> None:
    whole = json.dumps(FULL[name]).encode()
    place %= len(whole)
    take(name, whole[:place] + bytes([byte]) + whole[place + 1 :])
    take(name, whole[:place])


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=200))
@seeded
def test_any_text_that_is_not_blank_is_a_ticket(text: str) -> None:
    decoded = take("tickets", json.dumps({"ticket_id": "t", "text": text}).encode())
    assert (decoded is None) == (not text.strip())
    if isinstance(decoded, Ticket):
        assert decoded.text == text


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
kept = (
    texts
    | st.booleans()
    | st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
)
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)


@given(st.dictionaries(names, kept, max_size=30), st.dictionaries(names, kept, max_size=30))
@seeded
def test_metadata_and_unknown_fields_come_back_as_they_were(metadata: dict[str, Any], fields: dict[str, Any]) -> None:
    unknown = {name: value for name, value in fields.items() if name not in Ticket.model_fields}
    row = {"ticket_id": "t", "text": "x", "metadata": metadata, **unknown}
    decoded = Ticket.decode(json.dumps(row).encode())
    for _ in range(2):
        assert repr(decoded.metadata) == repr({**metadata, **{k: v for k, v in unknown.items() if k not in metadata}})
        decoded = Ticket.decode(decoded.encode())


@given(st.dictionaries(names, values, max_size=10))
@seeded
def test_no_unknown_field_makes_a_ticket_invalid(fields: dict[str, Any]) -> None:
    unknown = {name: value for name, value in fields.items() if name not in Ticket.model_fields}
    data = json.dumps({"ticket_id": "t", "text": "x", **unknown}).encode()
    try:
        json.loads(data.decode("utf-8")), orjson.loads(data)
    except ValueError:
        return  # a surrogate, or a number with more digits than JSON readers take
    decoded = take("tickets", data)
    assert isinstance(decoded, Ticket)
    assert decoded.metadata.keys() <= unknown.keys()


@pytest.mark.parametrize("size", [MAX_TEXT, MAX_TEXT + 1, 1_000_000])
def test_long_texts(size: int) -> None:
    assert (take("tickets", json.dumps({"ticket_id": "t", "text": "x" * size}).encode()) is not None) == (
        size <= MAX_TEXT
    )


@pytest.mark.parametrize("depth", [10, 150, 10_000, 200_000])
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_deep_nesting(depth: int, opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    nested = opening * depth + "0" + closing * depth
    for name in TOPICS:
        take(name, nested.encode())
        take(name, json.dumps(FULL[name])[:-1].encode() + b', "details": ' + nested.encode() + b"}")


@given(st.text(st.characters(exclude_categories=()), max_size=50))
@seeded
def test_a_key_never_raises_even_for_a_value_that_no_check_has_seen(ticket_id: str) -> None:
    unchecked = ticket().model_copy(update={"ticket_id": ticket_id})
    assert TOPICS["tickets"].key_of(unchecked) == ticket_id.encode("utf-8", "surrogatepass")


@given(*[st.lists(st.text(st.characters(exclude_categories=()), max_size=4), max_size=4)] * 2)
@seeded
def test_stable_ids_differ_where_the_parts_do(one: list[str], other: list[str]) -> None:
    assert (stable_id(*one) == stable_id(*other)) == (one == other)
    assert len(stable_id(*one)) == 32
