"""How long the broker keeps what is on a topic, as the topic's own settings say."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError, for_code

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.topics import admin_client

#: The broker looks every five minutes for what has grown too old, and deletes its file a minute later.
_CLEANS_MS = 6 * 60 * 1000
#: A topic that was created a moment ago is not known to every broker of a cluster yet.
_LOOKS = 10
_BETWEEN_LOOKS_S = 0.2
#: How the protocol names where a setting comes from.
_SET_ON_THE_TOPIC = 1
#: Some of a broker's numbers mean that there is no limit: -1, and the largest there is.
_NO_LIMIT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Keeping:
    """How a topic keeps messages. Times are in milliseconds; None: there is no limit, or the broker does not say."""

    compacts: bool
    deletes: bool
    is_told: bool = True
    """Whether the broker tells its own defaults. One that does not, as the embedded one, need not do what is set on a topic."""
    retention_ms: int | None = None
    segment_ms: int | None = None
    compaction_ms: int | None = None
    """By when what a later record of its key has replaced is compacted away."""

    @classmethod
    def of(cls, config: Mapping[str, str]) -> Keeping:
        """Read a topic's settings; what they do not name is not known."""
        policy = config.get("cleanup.policy", "delete").split(",")
        return cls(
            compacts="compact" in policy,
            deletes="delete" in policy,
            is_told="segment.ms" in config,
            retention_ms=_limit(config.get("retention.ms")),
            segment_ms=_limit(config.get("segment.ms")),
            compaction_ms=_limit(config.get("max.compaction.lag.ms")),
        )

    def aged_out_by(self, at_ms: int) -> int | None:
        """Return by when a record of this time (Unix time) is deleted for its age at the latest.

        Its file is deleted once the last record in it is old enough, and takes records for as long as ``segment_ms``.
        """
        if not self.deletes or self.retention_ms is None or self.segment_ms is None:
            return None
        return at_ms + self.retention_ms + self.segment_ms + _CLEANS_MS

    def compacted_by(self, replaced_ms: int) -> int | None:
        """Return by when a record is compacted away that was replaced at this time (Unix time)."""
        if not self.is_told or not self.compacts or self.compaction_ms is None:
            return None
        return replaced_ms + self.compaction_ms + _CLEANS_MS


def _limit(value: str | None) -> int | None:
    number = _NO_LIMIT if value is None else int(value)
    return number if 0 <= number < _NO_LIMIT else None


@dataclass(frozen=True, slots=True)
class TopicConfig:
    """A topic's settings as the broker tells them: all, defaults included where it tells them, and those set on the topic."""

    all: dict[str, str]
    own: dict[str, str]


async def topic_configs(connection: Connection, topics: Collection[str]) -> dict[str, TopicConfig]:
    """Return the broker's settings of these topics (physical names).

    Raises StopWorker if it cannot be reached or refuses.
    """
    async with admin_client(connection) as admin:
        for left in reversed(range(_LOOKS)):
            answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics])
            resources = [each for answer in answers for each in answer.resources]
            if not left or all(code != UnknownTopicOrPartitionError.errno for code, *_ in resources):
                break
            await asyncio.sleep(_BETWEEN_LOOKS_S)
    found = {}
    for code, message, _, name, entries in resources:
        if code:
            raise StopWorker(f"the broker does not tell the settings of {name}: {message or for_code(code).__name__}")
        told = [entry for entry in entries if entry[1] is not None]
        own = {entry[0]: entry[1] for entry in told if entry[3] == _SET_ON_THE_TOPIC}
        found[name] = TopicConfig({entry[0]: entry[1] for entry in told}, own)
    return found


async def topic_settings(connection: Connection, topics: Collection[str]) -> dict[str, dict[str, str]]:
    """Return all settings of these topics; see ``topic_configs``."""
    return {name: config.all for name, config in (await topic_configs(connection, topics)).items()}


async def keeping(connection: Connection, topics: Collection[str]) -> dict[str, Keeping]:
    """Return how the broker keeps the messages of these topics (physical names)."""
    return {name: Keeping.of(config) for name, config in (await topic_settings(connection, topics)).items()}
