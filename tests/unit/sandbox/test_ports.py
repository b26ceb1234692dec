from __future__ import annotations

import socket
import sys

import pytest

from streams.errors import SandboxError
from streams.sandbox.ports import ReservedPort


def listener(port: int) -> socket.socket:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def test_a_server_listens_on_the_reserved_port() -> None:
    with ReservedPort() as port, listener(port.number), socket.create_connection(("127.0.0.1", port.number), timeout=5):
        pass


def test_a_server_listens_again_while_old_connections_linger() -> None:
    with ReservedPort() as port:
        first = listener(port.number)
        client = socket.create_connection(("127.0.0.1", port.number), timeout=5)
        accepted, _ = first.accept()
        first.close()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
        listener(port.number).close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server listen beside a bound socket")
def test_the_port_is_given_to_nobody_else() -> None:
    with ReservedPort() as port, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port.number))


def test_nobody_answers_there_before_the_server_listens() -> None:
    with ReservedPort() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port.number), timeout=5)


def test_two_reservations_differ() -> None:
    with ReservedPort() as one, ReservedPort() as other:
        assert one.number != other.number


def test_a_port_that_is_taken_is_refused_with_its_number() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        with pytest.raises(SandboxError, match=f"port {number} .*choose another"):
            ReservedPort(number)


def test_a_released_port_is_free() -> None:
    port = ReservedPort()
    port.release()
    port.release()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port.number))
