"""How a client shows Kafka who it is and knows the broker: the one place where the clients' security arguments are made."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from streams.errors import SettingsError

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ClientSecurity(BaseModel):
    """Protocol, user and certificates of every client of one process.

    Passwords are read from the environment when a client is made, and are kept nowhere. A broker's certificate and name
    are always checked if TLS is spoken: there is no switch for that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    password_env: _Variable = "KAFKA_PASSWORD"  # noqa: S105 - a name
    """Name of the environment variable that holds the user's password."""
    ca_file: Path | None = None
    """PEM certificates of who may vouch for the broker; without it those that the system trusts."""
    cert_file: Path | None = None
    """This client's own certificate, PEM, for brokers that ask for one."""
    key_file: Path | None = None
    """Its key, PEM, if it is not in ``cert_file``."""
    key_password_env: _Variable | None = None
    """Name of the environment variable that holds the key's password, if it has one."""

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, values: Any) -> Any:
        if isinstance(values, dict) and "password" in values:
            raise ValueError("a password does not belong in a file: put it into the variable that password_env names")
        return values

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self._sasl and self.username is None:
            raise ValueError(f"{self.protocol} needs a username")
        if not self._sasl and self.username is not None:
            raise ValueError(f"{self.protocol} takes no username: write protocol: SASL_SSL")
        if not self._tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError(f"{self.protocol} takes no certificates: write protocol: SSL or SASL_SSL")
        if self.key_file is not None and self.cert_file is None:
            raise ValueError("key_file needs cert_file")
        return self

    @property
    def _sasl(self) -> bool:
        return self.protocol.startswith("SASL_")

    @property
    def _tls(self) -> bool:
        return self.protocol.endswith("SSL")

    def options(self) -> dict[str, Any]:
        """Return the security arguments of an aiokafka client, the password among them: for the client alone.

        Raises SettingsError for a password that is not there and a file that cannot be used.
        """
        options: dict[str, Any] = {"security_protocol": self.protocol}
        if self._tls:
            options["ssl_context"] = self._context()
        if self._sasl:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": _from_environment(self.password_env, "Kafka password").get_secret_value(),
            }
        return options

    def _context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(f"broker.security.ca_file {self.ca_file}: {_reason(error)}") from None
        if self.cert_file is not None:
            # Given even without a variable: without one, OpenSSL would ask at the terminal.
            name = self.key_password_env
            password = "" if name is None else _from_environment(name, "client key's password").get_secret_value()
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password)
            except (OSError, ssl.SSLError) as error:
                files = " and ".join(str(file) for file in (self.cert_file, self.key_file) if file is not None)
                raise SettingsError(f"broker.security: {files} cannot be used: {_reason(error)}") from None
        return context


def _from_environment(name: str, what: str) -> SecretStr:
    value = os.environ.get(name, "")
    if not value:
        raise SettingsError(f"environment variable {name} is empty: it should hold the {what}")
    return SecretStr(value)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return "no certificates or keys in PEM that fit" if error.reason is None else error.reason.lower()
    return error.strerror or str(error)
