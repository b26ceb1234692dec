"""Two requests in versions that aiokafka does not speak: what makes a transaction's offsets safe against a late worker (KIP-447).

aiokafka 0.14 sends TxnOffsetCommit version 0, which the broker takes from any client that was a member of the group once, and
OffsetFetch version 3, which answers beside the offsets of a transaction that is not decided yet. The versions here name the
member and its generation, and ask for decided offsets only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.commit import OffsetFetchRequest_v3
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from streams.delivery.ledger import Commit

#: The broker's answer while a transaction's offsets are not decided; aiokafka has no class for it.
UNSTABLE_OFFSET_COMMIT = 88
_NO_LEADER_EPOCH = -1
_TAGS = ("tags", TaggedFields)


def _topics(*fields: tuple[str, Any]) -> CompactArray:
    """Return what three of the four hold: an array of topics, each with its partitions, and these fields of each partition."""
    partitions = CompactArray(("partition", Int32), *fields, _TAGS)
    return CompactArray(("topic", CompactString()), ("partitions", partitions), _TAGS)


class TxnOffsetCommitResponse_v3(Response):  # noqa: N801 - as aiokafka names versions
    """The answer to TxnOffsetCommit version 3."""

    API_KEY = 28
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("topics", _topics(("error_code", Int16))), _TAGS)


class TxnOffsetCommitRequest_v3(RequestStruct):  # noqa: N801
    """TxnOffsetCommit version 3: with the member and the generation of the group."""

    FLEXIBLE_VERSION = True
    API_KEY = 28
    API_VERSION = 3
    RESPONSE_TYPE = TxnOffsetCommitResponse_v3
    SCHEMA = Schema(
        ("transactional_id", CompactString()),
        ("group_id", CompactString()),
        ("producer_id", Int64),
        ("producer_epoch", Int16),
        ("generation_id", Int32),
        ("member_id", CompactString()),
        ("group_instance_id", CompactString()),
        ("topics", _topics(("offset", Int64), ("leader_epoch", Int32), ("metadata", CompactString()))),
        _TAGS,
    )


class TxnOffsetCommitRequest(Request[TxnOffsetCommitRequest_v3]):
    """Offsets with metadata into a transaction, in the name of one generation of the group."""

    API_KEY = 28

    def __init__(
        self,
        transactional_id: str,
        producer: tuple[int, int],
        group_id: str,
        member: tuple[int, str],
        commits: Mapping[tuple[str, int], Commit],
    ) -> None:
        """``producer`` is its id and epoch, ``member`` the generation and the member's id, ``commits`` by (topic, partition)."""
        self._head = (transactional_id, group_id, *producer, *member, None)
        self._topics: list[tuple[str, list[tuple[int, int, int, str, dict[int, bytes]]], dict[int, bytes]]] = [
            (topic, [_place(partition, commits[topic, partition]) for partition in partitions], {})
            for topic, partitions in by_topic(commits).items()
        ]

    def build(self, request_struct_class: type[TxnOffsetCommitRequest_v3]) -> TxnOffsetCommitRequest_v3:
        """Return the request for the wire."""
        return request_struct_class(*self._head, self._topics, {})


class OffsetFetchResponse_v7(Response):  # noqa: N801
    """The answer to OffsetFetch version 7."""

    API_KEY = 9
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            _topics(("offset", Int64), ("leader_epoch", Int32), ("metadata", CompactString()), ("error_code", Int16)),
        ),
        ("error_code", Int16),
        _TAGS,
    )


class OffsetFetchRequest_v7(RequestStruct):  # noqa: N801
    """OffsetFetch version 7: of decided offsets only."""

    FLEXIBLE_VERSION = True
    API_KEY = 9
    API_VERSION = 7
    RESPONSE_TYPE = OffsetFetchResponse_v7
    SCHEMA = Schema(
        ("group_id", CompactString()),
        ("topics", CompactArray(("topic", CompactString()), ("partitions", CompactArray(Int32)), _TAGS)),
        ("require_stable", Boolean),
        _TAGS,
    )


class StableOffsetFetchRequest(Request[OffsetFetchRequest_v3 | OffsetFetchRequest_v7]):
    """What a group has committed for these partitions, once it is decided; a broker without version 7 answers at once."""

    API_KEY = 9

    def __init__(self, group_id: str, partitions: Mapping[str, list[int]]) -> None:
        self._group_id = group_id
        self._partitions = partitions

    def build(
        self, request_struct_class: type[OffsetFetchRequest_v3 | OffsetFetchRequest_v7]
    ) -> OffsetFetchRequest_v3 | OffsetFetchRequest_v7:
        """Return the request for the wire."""
        if request_struct_class is OffsetFetchRequest_v3:
            return OffsetFetchRequest_v3(self._group_id, list(self._partitions.items()))
        topics: list[tuple[str, list[int], dict[int, bytes]]] = [
            (topic, numbers, {}) for topic, numbers in self._partitions.items()
        ]
        return OffsetFetchRequest_v7(self._group_id, topics, True, {})


def by_topic(partitions: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """Group (topic, partition) pairs by their topic."""
    found: dict[str, list[int]] = {}
    for topic, partition in partitions:
        found.setdefault(topic, []).append(partition)
    return found


def _place(partition: int, commit: Commit) -> tuple[int, int, int, str, dict[int, bytes]]:
    return partition, commit.offset, _NO_LEADER_EPOCH, commit.metadata, {}
