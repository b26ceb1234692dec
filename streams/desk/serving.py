"""Serves a desk until it is stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn

from streams.desk.app import Application
from streams.desk.desk import Desk
from streams.errors import SettingsError
from streams.settings import Settings, is_loopback

#: How long pages that are open, with their stream of events, hold up a stop.
_STOP_S = 2
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


def check_exposure(settings: Settings) -> None:
    """Raise SettingsError if others could reach a desk at which nobody has to say who they are."""
    host = settings.desk.host
    if not settings.desk.has_login and not is_loopback(host):
        raise SettingsError(
            f"a desk on {host} needs a login: hedgerow desk user add NAME --role reviewer writes a users file,"
            " --users or desk.users names it; or listen on 127.0.0.1"
        )


async def serve(settings: Settings, local: str, started: Callable[[str], None] = lambda _: None) -> None:
    """Serve the desk until the process is told to stop; ``started`` is called with its address once it answers.

    ``local`` is who everybody is if no login is configured. Raises SettingsError if others could reach a desk without a
    login, and if the address cannot be had.
    """
    check_exposure(settings)
    chosen = settings.desk
    secure = not is_loopback(chosen.host) if chosen.secure_cookie is None else chosen.secure_cookie
    desk = Desk(settings, local=None if chosen.has_login else local)
    hosts = () if chosen.has_login else _LOOPBACK_NAMES
    await asyncio.to_thread(desk.journal.last_id)  # a store that cannot be used ends it here, in one line
    with _listening(chosen.host, chosen.port) as listening:
        config = uvicorn.Config(
            Application(desk, secure=secure, hosts=hosts).asgi,
            log_config=None,
            access_log=False,
            proxy_headers=False,  # whose word counts is for the desk to say
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_STOP_S,
            h11_max_incomplete_event_size=64 * 1024,
        )
        host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
        address = f"http://{host}:{listening.getsockname()[1]}"
        await _Server(config, lambda: started(address)).serve(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._ready()


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(f"the desk cannot listen on {host}, port {port}: {error.strerror or error}") from None
