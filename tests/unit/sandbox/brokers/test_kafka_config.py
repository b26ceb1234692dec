from __future__ import annotations

import pytest

from streams.sandbox.brokers.kafka_config import (
    KafkaSecurity,
    NodePorts,
    initial_controllers,
    scram_arguments,
    server_properties,
)

ONE = [NodePorts(client=1000, internal=1001, controller=1002)]
THREE = [NodePorts(client=number, internal=number + 1, controller=number + 2) for number in (1000, 2000, 3000)]
SECURE = KafkaSecurity(
    protocol="SASL_SSL",
    users={"root": "r-secret", "worker": "w-secret"},
    administrators=["root"],
    properties={"ssl.keystore.location": "/keys/broker.p12"},
)


def settings(text: str) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in text.splitlines()]
    assert len(dict(pairs)) == len(pairs), "a setting appears twice"
    return dict(pairs)


def test_one_node_is_broker_and_controller_on_its_own_ports() -> None:
    found = settings(server_properties(0, ONE))
    assert found["process.roles"] == "broker,controller"
    assert found["node.id"] == "0"
    assert found["listeners"] == "CLIENT://127.0.0.1:1000,INTERNAL://127.0.0.1:1001,CONTROLLER://127.0.0.1:1002"
    assert found["advertised.listeners"] == "CLIENT://127.0.0.1:1000,INTERNAL://127.0.0.1:1001"
    assert found["listener.security.protocol.map"] == "CLIENT:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert found["controller.quorum.bootstrap.servers"] == "127.0.0.1:1002"
    assert found["auto.create.topics.enable"] == "false"
    assert found["group.initial.rebalance.delay.ms"] == "0"
    assert found["group.min.session.timeout.ms"] == "1000"


def test_every_node_has_its_own_ports_and_knows_all_controllers() -> None:
    for number, ports in enumerate(THREE):
        found = settings(server_properties(number, THREE))
        assert found["node.id"] == str(number)
        assert found["advertised.listeners"].startswith(f"CLIENT://127.0.0.1:{ports.client},")
        assert found["controller.quorum.bootstrap.servers"] == "127.0.0.1:1002,127.0.0.1:2002,127.0.0.1:3002"


@pytest.mark.parametrize(("ports", "copies", "needed"), [(ONE, "1", "1"), (THREE, "3", "2")])
def test_an_acknowledged_message_survives_one_node_of_three(ports: list[NodePorts], copies: str, needed: str) -> None:
    found = settings(server_properties(0, ports))
    factors = {name: value for name, value in found.items() if name.endswith("replication.factor")}
    assert set(factors) == {
        "default.replication.factor",
        "offsets.topic.replication.factor",
        "transaction.state.log.replication.factor",
        "share.coordinator.state.topic.replication.factor",
    }
    assert set(factors.values()) == {copies}
    assert found["min.insync.replicas"] == needed
    assert found["transaction.state.log.min.isr"] == needed
    assert found["share.coordinator.state.topic.min.isr"] == needed


def test_security_concerns_clients_and_not_the_nodes_among_themselves() -> None:
    found = settings(server_properties(0, ONE, security=SECURE))
    assert found["listener.security.protocol.map"] == "CLIENT:SASL_SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert found["inter.broker.listener.name"] == "INTERNAL"
    assert found["sasl.enabled.mechanisms"] == "SCRAM-SHA-512"
    assert found["authorizer.class.name"].endswith("StandardAuthorizer")
    assert found["super.users"] == "User:ANONYMOUS;User:root"
    assert found["ssl.keystore.location"] == "/keys/broker.p12"
    assert "secret" not in server_properties(0, ONE, security=SECURE), "passwords are not in the file"


def test_without_security_there_is_no_trace_of_it() -> None:
    text = server_properties(0, ONE)
    assert not any(word in text for word in ("sasl", "ssl", "authorizer", "super.users"))


def test_users_are_added_when_the_nodes_are_formatted() -> None:
    assert scram_arguments(None) == []
    assert scram_arguments(SECURE) == [
        "--add-scram",
        "SCRAM-SHA-512=[name=root,password=r-secret]",
        "--add-scram",
        "SCRAM-SHA-512=[name=worker,password=w-secret]",
    ]


def test_the_first_voters_are_all_nodes() -> None:
    assert initial_controllers(THREE, ["a", "b", "c"]) == "0@127.0.0.1:1002:a,1@127.0.0.1:2002:b,2@127.0.0.1:3002:c"
    with pytest.raises(ValueError, match="shorter"):
        initial_controllers(THREE, ["a", "b"])


def test_extra_settings_win() -> None:
    found = settings(server_properties(0, ONE, extra={"min.insync.replicas": "7", "message.max.bytes": "5"}))
    assert found["min.insync.replicas"] == "7"
    assert found["message.max.bytes"] == "5"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("a=b c", "a=b c"),
        ("C:\\keys", "C:\\\\keys"),
        ("two\nlines", "two\\nlines"),
        ("é", "\\u00e9"),
        ("🦔", "\\ud83e\\udd94"),
    ],
)
def test_values_are_written_as_java_reads_them(value: str, written: str) -> None:
    assert settings(server_properties(0, ONE, extra={"name": value}))["name"] == written
