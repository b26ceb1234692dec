"""Ports for servers of ours that choose no port themselves."""

from __future__ import annotations

import socket
import sys
from typing import Self

from streams.errors import SandboxError


class ReservedPort:
    """A TCP port of 127.0.0.1 that is kept for one server, also while that server is down.

    On Linux the socket stays bound, without listening, until `release`. With SO_REUSEADDR on both sides a server can
    listen alongside it, while the kernel gives the port to no program that asks for any port, nor to an outgoing connection.
    Elsewhere a bound socket keeps the server out as well, so it is closed at once, and the server may, rarely, find the
    port taken.
    """

    def __init__(self, port: int | None = None) -> None:
        """Raises SandboxError when ``port`` is taken; without one, the kernel chooses."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind(("127.0.0.1", port or 0))
        except OSError as error:
            self._socket.close()
            raise SandboxError(f"port {port} of 127.0.0.1 cannot be used ({error.strerror}): choose another") from error
        self.number: int = self._socket.getsockname()[1]
        if sys.platform != "linux":
            self._socket.close()

    def release(self) -> None:
        """Leave the port to others; a second call does nothing."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
