"""The configuration of a local Apache Kafka node, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

# Small files and short waits for a cluster that lives for minutes. Sessions of 1 s are refused by default.
_SANDBOX = {
    "auto.create.topics.enable": "false",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "4",
    # How often it looks for transactions whose time is up; 10 s by default.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "log.cleaner.dedupe.buffer.size": str(8 << 20),
}


@dataclass(frozen=True, slots=True)
class NodePorts:
    """The three ports of one node: for clients, for the other brokers, for the controllers."""

    client: int
    internal: int
    controller: int


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """Who may connect and do what: clients log in with SCRAM-SHA-512, and what no ACL allows is refused.

    ``users`` maps a name to its password. ``administrators`` among them may do everything, also give rights to others.
    ``properties`` are more server settings: for SASL_SSL the key store, e.g. ``ssl.keystore.location``.
    Between themselves, on separate listeners on 127.0.0.1, the nodes speak plaintext.
    """

    protocol: Literal["SASL_PLAINTEXT", "SASL_SSL"]
    users: Mapping[str, str]
    administrators: Sequence[str] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


def server_properties(
    node: int,
    ports: Sequence[NodePorts],
    *,
    security: KafkaSecurity | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """The ``server.properties`` of node ``node`` of a cluster with these ``ports``; broker and controller in one.

    With three nodes everything has three replicas, of which two must have a message before it is acknowledged. The data
    lie in ``data`` under the working directory. ``extra`` wins over everything.
    """
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.bootstrap.servers": ",".join(f"127.0.0.1:{each.controller}" for each in ports),
        "log.dirs": "data",
        **_listeners(ports[node], security),
        **_replication(copies=min(3, len(ports))),
        **_SANDBOX,
        **(_security(security) if security else {}),
        **(extra or {}),
    }
    return "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())


def initial_controllers(ports: Sequence[NodePorts], directory_ids: Sequence[str]) -> str:
    """The first voters of the metadata quorum, as ``StorageTool format --initial-controllers`` wants them."""
    return ",".join(
        f"{node}@127.0.0.1:{each.controller}:{directory_id}"
        for node, (each, directory_id) in enumerate(zip(ports, directory_ids, strict=True))
    )


def scram_arguments(security: KafkaSecurity | None) -> list[str]:
    """The arguments of ``StorageTool format`` that add the users."""
    users = security.users if security else {}
    return [
        argument
        for name, password in users.items()
        for argument in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
    ]


def _listeners(ports: NodePorts, security: KafkaSecurity | None) -> dict[str, str]:
    client = security.protocol if security else "PLAINTEXT"
    brokers = f"CLIENT://127.0.0.1:{ports.client},INTERNAL://127.0.0.1:{ports.internal}"
    return {
        "listeners": f"{brokers},CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": brokers,
        "listener.security.protocol.map": f"CLIENT:{client},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "INTERNAL",
        "controller.listener.names": "CONTROLLER",
    }


def _replication(copies: int) -> dict[str, str]:
    needed = str(max(1, copies - 1))
    return {
        "default.replication.factor": str(copies),
        "min.insync.replicas": needed,
        "offsets.topic.replication.factor": str(copies),
        "transaction.state.log.replication.factor": str(copies),
        "transaction.state.log.min.isr": needed,
        "share.coordinator.state.topic.replication.factor": str(copies),
        "share.coordinator.state.topic.min.isr": needed,
    }


def _security(security: KafkaSecurity) -> dict[str, str]:
    # On the internal listeners nobody logs in, so there the nodes are ANONYMOUS; on the client listener nobody can be.
    superusers = ["ANONYMOUS", *security.administrators]
    return {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.client.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": ";".join(f"User:{name}" for name in superusers),
        **security.properties,
    }


def _escaped(value: str) -> str:
    # Java reads the file as Latin-1, with backslashes as escapes and UTF-16 code units for the rest.
    units = value.replace("\\", "\\\\").replace("\n", "\\n").encode("utf-16-be")
    codes = (int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
