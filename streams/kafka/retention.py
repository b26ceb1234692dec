"""Has the broker keep topics for as long as the settings say."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

from schemas import TOPICS, Topic
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import refusal
from streams.kafka.keeping import topic_settings
from streams.kafka.topics import admin_client

_DAY_MS = 24 * 3600 * 1000
_HOW_KEPT = ("cleanup.policy", "retention.ms", "max.compaction.lag.ms")
#: How the protocol names where a setting comes from.
_SET_ON_THE_TOPIC = 1


def wanted(topic: Topic, days: float | None) -> dict[str, str]:
    """Return the broker's settings of a topic that keeps its messages for ``days``; None: as the registry has it."""
    if days is None:
        return dict(topic.config)
    kept = {"retention.ms": str(round(days * _DAY_MS))}
    if "compact" in topic.config.get("cleanup.policy", ""):
        kept["cleanup.policy"] = "compact,delete"
    return {**topic.config, **kept}


async def kept_otherwise(
    connection: Connection, days: Mapping[str, float], *, prefix: str
) -> dict[str, dict[str, tuple[str | None, str]]]:
    """Return what the broker has, and what it should have, of the settings that say how long topics are kept, by ``days``.

    By topic (physical name) and setting; topics that are as they should be are left out. Raises StopWorker if the broker
    cannot be reached or does not tell.
    """
    wishes = {prefix + name: wanted(TOPICS[name], each) for name, each in days.items()}
    found = await topic_settings(connection, wishes) if wishes else {}
    differ = {
        name: {
            key: (found[name].get(key), value)
            for key, value in wish.items()
            if key in _HOW_KEPT and not _same(found[name].get(key), value)
        }
        for name, wish in wishes.items()
    }
    return {name: changes for name, changes in differ.items() if changes}


async def keep(connection: Connection, days: Mapping[str, float], *, prefix: str) -> list[str]:
    """Have the broker keep these topics, which are there, for ``days``; return those that it kept otherwise.

    What else was set on a topic stays. Raises StopWorker if the broker refuses.
    """
    changes = await kept_otherwise(connection, days, prefix=prefix)
    if not changes:
        return []
    try:
        async with admin_client(connection) as admin:
            # The request replaces all that is set on a topic.
            before = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in changes])
            own = {
                name: {entry[0]: entry[1] for entry in entries if entry[3] == _SET_ON_THE_TOPIC}
                for answer in before
                for _, _, _, name, entries in answer.resources
            }
            answers = await admin.alter_configs(
                [
                    ConfigResource(
                        ConfigResourceType.TOPIC, name, own[name] | {key: new for key, (_, new) in each.items()}
                    )
                    for name, each in changes.items()
                ]
            )
    except IncompatibleBrokerVersion:
        raise StopWorker("this broker cannot change how a topic is kept: create the topic again") from None
    except KafkaError as error:
        raise StopWorker(refusal(error) or f"the broker does not change how topics are kept: {error!r}") from error
    for answer in answers:
        for code, message, _, name in answer.resources:
            if code:
                raise StopWorker(f"the broker does not change how {name} is kept: {message or f'error {code}'}")
    return list(changes)


def _same(has: str | None, wish: str) -> bool:
    return has is not None and set(has.split(",")) == set(wish.split(","))
