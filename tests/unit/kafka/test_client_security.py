"""What every Kafka client is told about security, and which settings of it are refused."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiokafka.errors import GroupAuthorizationFailedError, KafkaConnectionError, TopicAuthorizationFailedError
from pydantic import ValidationError

from streams.delivery.service import _credentials
from streams.errors import SettingsError, StopWorker
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection
from streams.kafka.diagnosis import dial, refusal
from streams.sandbox.ports import ReservedPort
from streams.settings import check_settings, load_settings

TIER = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
VALUES: dict[str, Any] = {"labels": ["a", "b"], "tiers": {"cheap": TIER, "big": TIER}}
SCRAM: dict[str, Any] = {"protocol": "SASL_SSL", "username": "score"}


def with_security(**security: Any) -> dict[str, Any]:
    return VALUES | {"broker": {"bootstrap": "kafka:9093", "security": security}}


def test_without_a_word_a_client_speaks_plaintext() -> None:
    assert ClientSecurity().options() == {"security_protocol": "PLAINTEXT"}
    assert _credentials(ClientSecurity().options()) is None


def test_a_login_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    options = ClientSecurity(**SCRAM).options()
    context = options.pop("ssl_context")
    assert options == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "score",
        "sasl_plain_password": "hunter2",
    }
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("protocol", ["SSL", "SASL_PLAINTEXT", "SASL_SSL"])
def test_faust_is_told_the_same(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    user = {"username": "score"} if protocol != "SSL" else {}
    options = ClientSecurity(protocol=protocol, mechanism="PLAIN", **user).options()
    credentials = _credentials(options)
    assert credentials.protocol.value == protocol
    if user:
        assert (credentials.mechanism.value, credentials.username, credentials.password) == (
            "PLAIN",
            "score",
            "hunter2",
        )


def test_the_environment_wins_over_the_file_and_files_are_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "hedgerow.yaml"
    file.write_text(yaml.safe_dump(with_security(**SCRAM, ca_file="ca.pem")))
    monkeypatch.setenv("HEDGEROW_BROKER__SECURITY__USERNAME", "escalate")
    connection = load_settings(file).broker.connection
    assert connection.security == ClientSecurity(protocol="SASL_SSL", username="escalate", ca_file=tmp_path / "ca.pem")
    assert connection.bootstrap == "kafka:9093"


@pytest.mark.parametrize(
    ("security", "complaint"),
    [
        ({"protocol": "SASL_SSL"}, "SASL_SSL needs a username"),
        ({"username": "score"}, "PLAINTEXT takes no username: write protocol: SASL_SSL"),
        ({"ca_file": "ca.pem"}, "PLAINTEXT takes no certificates: write protocol: SSL or SASL_SSL"),
        ({"protocol": "SSL", "key_file": "key.pem"}, "key_file needs cert_file"),
        ({"protocol": "TLS"}, "broker.security.protocol"),
        ({**SCRAM, "mechanism": "OAUTHBEARER"}, "broker.security.mechanism"),
        ({**SCRAM, "password": "hunter2"}, "a password does not belong in a file: .* password_env names"),
        ({**SCRAM, "password_env": "with space"}, "broker.security.password_env"),
        ({**SCRAM, "password_env": 1234567}, "broker.security.password_env"),
        ({**SCRAM, "verify": False}, "unknown key broker.security.verify"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(security: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint) as refused:
        check_settings(with_security(**security), "x")
    assert "\n" not in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "1234567" not in str(refused.value)


@pytest.mark.parametrize(
    ("security", "complaint"),
    [
        (SCRAM, "environment variable KAFKA_PASSWORD is empty"),
        ({"protocol": "SSL", "ca_file": "absent.pem"}, "ca_file .*absent.pem: No such file"),
        ({"protocol": "SSL", "ca_file": "empty.pem"}, "ca_file .*empty.pem: "),
        ({"protocol": "SSL", "cert_file": "empty.pem"}, "empty.pem cannot be used: "),
        ({"protocol": "SSL", "cert_file": "empty.pem", "key_password_env": "KEY_PASSWORD"}, "KEY_PASSWORD is empty"),
    ],
)
def test_what_is_missing_is_said_when_a_client_is_made(
    security: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAFKA_PASSWORD", raising=False)
    (tmp_path / "empty.pem").touch()
    placed = {name: tmp_path / value if name.endswith("_file") else value for name, value in security.items()}
    with pytest.raises(SettingsError, match=complaint):
        _ = Connection("kafka:9093", security=ClientSecurity(**placed)).client_options


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        ClientSecurity().protocol = "SSL"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TopicAuthorizationFailedError({"b", "a"}), "user score the rights on topic a, b that"),
        (TopicAuthorizationFailedError("a"), "user score the rights on topic a that"),
        (GroupAuthorizationFailedError("g"), "user score the rights on group g that"),
        (GroupAuthorizationFailedError(), "user score the rights on group that"),
    ],
)
def test_a_missing_right_is_named(error: Exception, line: str) -> None:
    assert line in str(refusal(error, ClientSecurity(**SCRAM)))
    assert "anonymous clients the rights" in str(refusal(error, ClientSecurity()))


def test_other_errors_are_about_no_right() -> None:
    assert refusal(KafkaConnectionError("x")) is None
    assert refusal(ValueError()) is None


async def test_a_broker_that_is_not_there_is_named_with_the_reason() -> None:
    with (
        ReservedPort() as port,
        pytest.raises(StopWorker, match=rf"no Kafka broker answers at 127.0.0.1:{port.number}: "),
    ):
        await dial(f"127.0.0.1:{port.number}", ClientSecurity())
