"""How to reach the broker."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from streams.kafka.client_security import ClientSecurity


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the broker, and how patient its group protocol is (seconds)."""

    bootstrap: str
    session_timeout_s: float = 10.0
    heartbeat_s: float = 1.0
    rebalance_timeout_s: float = 20.0
    commit_interval_s: float = 0.5
    security: ClientSecurity = field(default_factory=ClientSecurity)

    @property
    def client_options(self) -> dict[str, Any]:
        """What aiokafka clients take for security: security_protocol, ssl_context, sasl_mechanism ..."""
        return self.security.options()
