"""Creates the topics of the registry, and says which are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas import TOPICS
from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import dial, unreachable

#: A topic that was created a moment ago is not known to every broker of a cluster yet.
_LOOKS = 5
_BETWEEN_LOOKS_S = 0.2


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic as the broker has it; no partitions: it is not there."""

    name: str
    partitions: int


@asynccontextmanager
async def admin_client(connection: Connection) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield a connected admin client; raises StopWorker if the broker cannot be reached, or becomes unavailable meanwhile."""
    # First, because it says what is wrong and aiokafka's client would only log it.
    (await dial(connection.bootstrap, connection.security)).close()
    client = AIOKafkaAdminClient(bootstrap_servers=connection.bootstrap, **connection.client_options)
    try:
        await client.start()
    except (KafkaError, OSError) as error:
        await client.close()
        raise await unreachable(connection.bootstrap, connection.security, error) from error
    try:
        yield client
    except KafkaError as error:
        if not error.retriable:
            raise
        raise await unreachable(connection.bootstrap, connection.security, error) from error
    finally:
        await client.close()


async def create_topics(
    connection: Connection,
    *,
    prefix: str,
    partitions: int,
    replication: int,
    configs: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> list[str]:
    """Create the registry's topics that are not there yet and return their names.

    ``configs`` are settings of topics, by their names without the prefix, in place of the registry's.
    Raises StopWorker with the broker's reason if it refuses one.
    """
    async with admin_client(connection) as admin:
        response = await admin.create_topics(
            [
                NewTopic(
                    prefix + topic.name,
                    topic.partitions or partitions,
                    replication,
                    topic_configs=dict(configs.get(topic.name, topic.config)),
                )
                for topic in TOPICS.values()
            ]
        )
    created = []
    for name, code, *more in response.topic_errors:
        error = for_code(code)
        if code == 0:
            created.append(name)
        elif error is not TopicAlreadyExistsError:
            raise StopWorker(f"the broker refuses topic {name}: {error.__name__} {(more or [''])[0] or ''}".rstrip())
    return created


async def topic_states(connection: Connection, prefix: str) -> list[TopicState]:
    """Return every topic of the registry as the broker has it."""
    names = [prefix + name for name in TOPICS]
    async with admin_client(connection) as admin:
        present = set(await admin.list_topics())
        described = await admin.describe_topics([name for name in names if name in present])
    counts = {topic["topic"]: len(topic["partitions"]) for topic in described}
    return [TopicState(name, counts.get(name, 0)) for name in names]


async def require_topics(connection: Connection, prefix: str, names: Collection[str] = TOPICS.keys()) -> None:
    """Raise StopWorker if one of these topics is not there.

    Asked before a topic is read or written: a group that subscribes to nothing would wait for ever, and a broker that
    creates topics by itself would make one of another size and without its settings.
    """
    needed = {prefix + name for name in names}
    for left in reversed(range(_LOOKS)):
        states = await topic_states(connection, prefix)
        absent = [state.name for state in states if state.name in needed and not state.partitions]
        if not absent:
            return
        if not left:
            raise StopWorker(absence(absent, connection))
        await asyncio.sleep(_BETWEEN_LOOKS_S)


def absence(absent: Collection[str], connection: Connection) -> str:
    """Return the line about topics that a broker does not show: Kafka hides those that a user has no right on."""
    user = connection.security.username
    if user is None:
        return f"topics are not there: {', '.join(absent)}; run: hedgerow topics create"
    return (
        f"topics are not there, or user {user} has no right on them: {', '.join(absent)}; "
        f"run: hedgerow topics create, and see deploy/kafka-rights.yaml"
    )
