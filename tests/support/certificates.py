"""A certificate for a broker on this machine, made by Java's keytool."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_PASSWORD = "sandbox"


@dataclass(frozen=True, slots=True)
class BrokerCertificate:
    """The broker's key store, and the certificate that a client has to trust."""

    store: Path
    pem: Path

    @classmethod
    def make(cls, folder: Path) -> BrokerCertificate:
        """Make one for 127.0.0.1 that vouches for itself."""
        made = cls(folder / "broker.p12", folder / "broker.pem")
        login = ["-keystore", str(made.store), "-storepass", _PASSWORD, "-alias", "broker"]
        pair = ["keytool", "-genkeypair", *login, "-keyalg", "EC", "-dname", "CN=sandbox", "-storetype", "PKCS12"]
        subprocess.run([*pair, "-ext", "san=ip:127.0.0.1"], check=True, capture_output=True)
        export = ["keytool", "-exportcert", "-rfc", *login, "-file", str(made.pem)]
        subprocess.run(export, check=True, capture_output=True)
        return made

    @property
    def properties(self) -> dict[str, str]:
        """What the broker is told about it."""
        return {
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.store),
            "ssl.keystore.password": _PASSWORD,
        }
