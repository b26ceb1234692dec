"""Gives Kafka users their rights, in Kafka's own protocol: aiokafka's admin client has no call for that."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka.errors import ClusterAuthorizationFailedError, KafkaError, NoError, for_code
from aiokafka.protocol.admin import CreateAclsRequest

from streams.errors import StopWorker
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import dial
from streams.kafka.rights import Acl, Operation, Pattern, Resource

# The numbers of org.apache.kafka.common.resource and org.apache.kafka.common.acl.
_RESOURCES: dict[Resource, int] = {"topic": 2, "group": 3, "transactional-id": 5}
_PATTERNS: dict[Pattern, int] = {"literal": 3, "prefixed": 4}
_OPERATIONS: dict[Operation, int] = {
    "Read": 3,
    "Write": 4,
    "Create": 5,
    "Describe": 8,
    "DescribeConfigs": 10,
    "AlterConfigs": 11,
}
_ALLOW = 3
_ANY_HOST = "*"


async def grant(acls: Iterable[Acl], connection: Connection) -> int:
    """Add the entries and return how many there were; one that is there already changes nothing.

    Raises StopWorker with Kafka's reason if it refuses one: only a superuser, or who may alter the cluster, gives rights.
    """
    client = await dial(connection.bootstrap, connection.security)
    given = 0
    try:
        for acl in acls:
            answer = await client.send(
                CreateAclsRequest(
                    _RESOURCES[acl.resource],
                    acl.name,
                    _PATTERNS[acl.pattern],
                    f"User:{acl.user}",
                    _ANY_HOST,
                    _OPERATIONS[acl.operation],
                    _ALLOW,
                )
            )
            code, text = answer.creation_responses[0]
            error = for_code(code)
            if error is ClusterAuthorizationFailedError:
                raise StopWorker(
                    f"rights are given by a superuser of Kafka, or by who may alter the cluster: "
                    f"user {connection.security.username} is neither"
                )
            if error is not NoError:
                raise StopWorker(f"Kafka gives user {acl.user} no rights: {error.__name__} {text or ''}".rstrip())
            given += 1
    except (KafkaError, OSError) as error:
        raise StopWorker(f"the connection broke while rights were given: {error}") from error
    finally:
        client.close()
    return given
