"""Why a broker takes no client: aiokafka's clients say only that they found none, and keep the reason for their log."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from streams.errors import StopWorker
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection

#: For one address. A broker that another protocol is spoken to may say nothing at all.
_PATIENCE_MS = 5_000
_RIGHTS = {
    TopicAuthorizationFailedError: "topic",
    GroupAuthorizationFailedError: "group",
    TransactionalIdAuthorizationFailed: "transactional id",
}


async def dial(bootstrap: str, security: ClientSecurity) -> AIOKafkaConnection:
    """Return a connection to the first of the addresses that takes one; the caller closes it.

    Raises StopWorker with the last address's reason if none does.
    """
    options = security.options()
    reason = f"no Kafka broker at {bootstrap}"
    for host, port, _ in collect_hosts(bootstrap):
        connection = None
        try:
            connection = await create_conn(host, port, client_id="hedgerow", request_timeout_ms=_PATIENCE_MS, **options)
            # A broker that wants a login tells its versions without one, and hangs up at this.
            await connection.send(MetadataRequest([]))
        except (OSError, KafkaError, ValueError) as error:  # TimeoutError is an OSError; SCRAM raises ValueError
            if connection is not None:
                connection.close()
            reason = _reason(f"{host}:{port}", security, error)
        else:
            return connection
    raise StopWorker(reason)


async def answers(connection: Connection) -> bool:
    """Return whether a broker of this connection takes a client now."""
    try:
        (await dial(connection.bootstrap, connection.security)).close()
    except StopWorker:
        return False
    return True


async def unreachable(bootstrap: str, security: ClientSecurity, error: BaseException) -> StopWorker:
    """Return the one line that says why a client could not start with ``error``; asks the broker once more for that."""
    if refused := refusal(error, security):
        return StopWorker(refused)
    try:
        connection = await dial(bootstrap, security)
    except StopWorker as known:
        return known
    connection.close()
    return StopWorker(f"no Kafka broker answers at {bootstrap}: {error}")


def refusal(error: BaseException, security: ClientSecurity | None = None) -> str | None:
    """Return the line for a right that the user, named if ``security`` is given, does not have; None for other errors."""
    user = "this user" if security is None else _user(security)
    if isinstance(error, ClusterAuthorizationFailedError):
        # What Kafka answers to a producer that may write nowhere: the right on any one topic would do.
        return f"Kafka lets {user} write to no topic at all: see deploy/kafka-rights.yaml"
    what = next((name for kind, name in _RIGHTS.items() if isinstance(error, kind)), None)
    if what is None:
        return None
    named = ", ".join(sorted(map(str, error.args[0]))) if error.args and _is_names(error.args[0]) else _first(error)
    return (
        f"Kafka does not give {user} the rights on {what}{f' {named}' if named else ''} that this needs: "
        f"see deploy/kafka-rights.yaml"
    )


@contextmanager
def plain_refusals(security: ClientSecurity) -> Iterator[None]:
    """Raise StopWorker, whose line a user of a command can act on, in place of a KafkaError or TimeoutError."""
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        refused = refusal(error, security)
        raise StopWorker(refused or f"the broker did not do it: {error!r}; run the command again") from error


def _is_names(value: object) -> bool:
    return isinstance(value, set | frozenset | list | tuple)


def _first(error: BaseException) -> str:
    return str(error.args[0]) if error.args and isinstance(error.args[0], str) else ""


def _user(security: ClientSecurity) -> str:
    return "anonymous clients" if security.username is None else f"user {security.username}"


def _reason(address: str, security: ClientSecurity, error: Exception) -> str:
    at = f"the Kafka broker at {address}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"{at} shows a certificate that is not trusted: {error.verify_message}; see broker.security.ca_file"
    if isinstance(error, SaslAuthenticationFailed):
        return (
            f"{at} does not take {_user(security)} with this password and {security.mechanism}: "
            f"see {security.password_env}"
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"{at} takes no {security.mechanism}: see broker.security.mechanism"
    if isinstance(error, IllegalSaslStateError):
        return f"{at} takes no login on this port: see broker.security.protocol ({security.protocol})"
    if isinstance(error, ssl.SSLError):
        said = (error.reason or "no TLS").lower().replace("_", " ")
        return f"{at} and this client find no common TLS ({said}): see broker.security"
    if isinstance(error, KafkaError | ConnectionResetError):
        return f"{at} hangs up: is broker.security.protocol {security.protocol} what this port speaks?"
    return f"no Kafka broker answers at {address}: {str(error) or type(error).__name__}"
