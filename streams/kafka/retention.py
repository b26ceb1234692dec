"""Compares how topics are set with what the registry and the settings want, and has the broker alter it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from schemas import TOPICS, Topic
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import refusal
from streams.kafka.keeping import topic_configs
from streams.kafka.topics import admin_client

_DAY_MS = 24 * 3600 * 1000
_HOW_KEPT = ("cleanup.policy", "retention.ms", "max.compaction.lag.ms")
#: More of one, and less of the other, is as good as what is wanted.
_AT_LEAST, _AT_MOST = "max.message.bytes", "max.compaction.lag.ms"


@dataclass(frozen=True, slots=True)
class Otherwise:
    """A topic that is not set as it should be."""

    changes: dict[str, tuple[str | None, str]]
    """By setting: what the broker has, and what it should have."""
    own: dict[str, str]
    """All that is set on the topic itself: a request to alter it replaces that."""

    def __str__(self) -> str:
        return ", ".join(f"{key} is {has}, not {wish}" for key, (has, wish) in self.changes.items())


def wanted(topic: Topic, days: float | None) -> dict[str, str]:
    """Return the broker's settings of a topic that keeps its messages for ``days``; None: as the registry has it."""
    if days is None:
        return dict(topic.config)
    kept = {"retention.ms": str(round(days * _DAY_MS))}
    if "compact" in topic.config.get("cleanup.policy", ""):
        kept["cleanup.policy"] = "compact,delete"
    return {**topic.config, **kept}


async def set_otherwise(
    connection: Connection, names: Collection[str], days: Mapping[str, float], *, prefix: str
) -> dict[str, Otherwise]:
    """Return those of these topics, which are there, that are not set as this release and ``days`` want; by physical name.

    Raises StopWorker if the broker cannot be reached or does not tell.
    """
    wishes = {prefix + name: wish for name in names if (wish := wanted(TOPICS[name], days.get(name)))}
    found = await topic_configs(connection, wishes) if wishes else {}
    differ = {}
    for name, wish in wishes.items():
        has = found[name].all
        changes = {key: (has.get(key), value) for key, value in wish.items() if not _same(key, has.get(key), value)}
        if changes:
            differ[name] = Otherwise(changes, found[name].own)
    return differ


def parted(
    differ: Mapping[str, Otherwise], days: Collection[str], *, prefix: str
) -> tuple[dict[str, Otherwise], dict[str, Otherwise]]:
    """Return what differs as two parts: how long the topics in ``days`` are kept, and all else."""
    kept: dict[str, Otherwise] = {}
    rest: dict[str, Otherwise] = {}
    for name, other in differ.items():
        keys = _HOW_KEPT if name.removeprefix(prefix) in days else ()
        for part, is_in in ((kept, True), (rest, False)):
            if changes := {key: each for key, each in other.changes.items() if (key in keys) is is_in}:
                part[name] = Otherwise(changes, other.own)
    return kept, rest


async def alter(connection: Connection, differ: Mapping[str, Otherwise]) -> None:
    """Have the broker set topics as they should be; what else was set on them stays. Raises StopWorker if it refuses."""
    if not differ:
        return
    resources = [
        ConfigResource(
            ConfigResourceType.TOPIC, name, other.own | {key: wish for key, (_, wish) in other.changes.items()}
        )
        for name, other in differ.items()
    ]
    try:
        async with admin_client(connection) as admin:
            answers = await admin.alter_configs(resources)
    except IncompatibleBrokerVersion:
        raise StopWorker("this broker cannot change how a topic is kept: create the topic again") from None
    except KafkaError as error:
        raise StopWorker(refusal(error) or f"the broker does not change how topics are set: {error!r}") from error
    for answer in answers:
        for code, message, _, name in answer.resources:
            if code:
                raise StopWorker(f"the broker does not change how {name} is set: {message or f'error {code}'}")


def _same(key: str, has: str | None, wish: str) -> bool:
    if has is None:
        return False
    if key == _AT_LEAST:
        return int(has) >= int(wish)
    if key == _AT_MOST:
        return int(has) <= int(wish)
    return set(has.split(",")) == set(wish.split(","))
