"""The two requests in our versions, byte by byte as Kafka's protocol guide has them."""

from __future__ import annotations

import struct

import pytest

from streams.delivery.kip447 import (
    OffsetFetchResponse_v7,
    StableOffsetFetchRequest,
    TxnOffsetCommitRequest,
    TxnOffsetCommitResponse_v3,
    by_topic,
)
from streams.delivery.ledger import Commit

TAGS = b"\x00"


def compact(text: str) -> bytes:
    return bytes([len(text) + 1]) + text.encode()


def test_offsets_into_a_transaction_name_the_member_and_its_generation() -> None:
    commits = {("t", 3): Commit(70, "h1"), ("t", 4): Commit(80, "")}
    request = TxnOffsetCommitRequest("tx", (9, 2), "group", (5, "member"), commits).prepare({28: (0, 4)})
    assert (request.API_KEY, request.API_VERSION, request.FLEXIBLE_VERSION) == (28, 3, True)
    expected = compact("tx") + compact("group") + struct.pack(">qhi", 9, 2, 5) + compact("member")
    expected += b"\x00"  # no group.instance.id
    expected += b"\x02" + compact("t") + b"\x03"
    expected += struct.pack(">iqi", 3, 70, -1) + compact("h1") + TAGS
    expected += struct.pack(">iqi", 4, 80, -1) + compact("") + TAGS
    assert request.encode() == expected + TAGS + TAGS


def test_the_answer_has_an_error_for_each_partition() -> None:
    raw = struct.pack(">i", 0) + b"\x02" + compact("t") + b"\x02" + struct.pack(">ih", 3, 22) + TAGS * 3
    answer = TxnOffsetCommitResponse_v3.decode(raw)
    assert answer.topics == [("t", [(3, 22, {})], {})]


def test_offsets_are_asked_for_once_they_are_decided() -> None:
    request = StableOffsetFetchRequest("group", {"t": [0, 7]}).prepare({9: (1, 9)})
    assert request.API_VERSION == 7
    stable = b"\x01"
    expected = compact("group") + b"\x02" + compact("t") + b"\x03" + struct.pack(">ii", 0, 7) + TAGS + stable + TAGS
    assert request.encode() == expected
    raw = struct.pack(">i", 0) + b"\x02" + compact("t") + b"\x02"
    raw += (
        struct.pack(">iqi", 7, 55, -1) + compact("h1") + struct.pack(">h", 88) + TAGS * 2 + struct.pack(">h", 0) + TAGS
    )
    answer = OffsetFetchResponse_v7.decode(raw)
    assert (answer.topics, answer.error_code) == ([("t", [(7, 55, -1, "h1", 88, {})], {})], 0)


def test_a_broker_without_that_version_is_asked_in_the_old_one() -> None:
    request = StableOffsetFetchRequest("group", {"t": [0]}).prepare({9: (0, 6)})
    assert request.API_VERSION == 3
    assert request.encode() == b"\x00\x05group" + struct.pack(">i", 1) + b"\x00\x01t" + struct.pack(">ii", 1, 0)


def test_a_broker_without_generations_in_transactions_is_refused() -> None:
    """Rather than take offsets from whoever was a member once."""
    with pytest.raises(NotImplementedError):
        TxnOffsetCommitRequest("tx", (9, 2), "group", (5, "member"), {}).prepare({28: (0, 2)})


def test_partitions_by_topic() -> None:
    assert by_topic([("a", 1), ("b", 0), ("a", 2)]) == {"a": [1, 2], "b": [0]}
