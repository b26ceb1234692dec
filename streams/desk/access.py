"""Who is asking: a session after a login, a name from a trusted proxy, a tool's token, or on this machine alone, anybody."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from streams.desk.roles import Role
from streams.desk.users import Passwords, UsersFile
from streams.reviews.journal import Action, Entry, Journal
from streams.reviews.known_users import KnownUsers
from streams.reviews.sessions import Session, Sessions
from streams.settings import DeskSettings

#: After this many wrong passwords in a window, nobody logs in: by one address under one name, from one address, under one name.
_WRONG_FOR_BOTH, _WRONG_FROM_ADDRESS, _WRONG_FOR_NAME = 5, 30, 50
WINDOW_S = 300
#: Each takes a core for some 50 ms, and 64 MiB.
_PASSWORDS_AT_ONCE = 2
#: The role of a session that logs nobody in: it only holds the forms' token of somebody who is told apart otherwise.
_TOLD = "told"


@dataclass(frozen=True, slots=True)
class Person:
    """Who is asking, and what they may do."""

    name: str
    role: Role
    csrf: str | None
    """What their forms repeat; None for a tool with a token, which has no forms."""
    new_token: str | None = None
    """The token of a session that was started just now, to be kept as a cookie."""


class TooMany(Exception):
    """Too many wrong passwords: the login is closed for some minutes."""


class Access:
    """Logs people in and tells who they are. ``local`` is who everybody is where no login is configured."""

    def __init__(
        self,
        settings: DeskSettings,
        users: UsersFile | None,
        sessions: Sessions,
        journal: Journal,
        known: KnownUsers,
        *,
        local: str | None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        self._users = users
        self._sessions = sessions
        self._journal = journal
        self._known = known
        self._local = local
        self._now_ms = now_ms
        self._proxies = [ipaddress.ip_network(each, strict=False) for each in settings.trusted_proxies]
        self._passwords = Passwords() if users is not None else None
        self._checking = asyncio.Semaphore(_PASSWORDS_AT_ONCE)

    @property
    def has_login(self) -> bool:
        """Whether anybody logs in by a password here."""
        return self._users is not None

    @property
    def is_local(self) -> bool:
        """Whether no login is configured, so that whoever reaches the desk may use it."""
        return self._local is not None

    def address(self, request: Request) -> str:
        """Return the client's address; behind a trusted proxy the last one that the proxy saw."""
        peer = request.client.host if request.client is not None else ""
        if self._is_proxy(peer):
            seen = [each.strip() for each in request.headers.get("x-forwarded-for", "").split(",")]
            return next((each for each in reversed(seen) if each and not self._is_proxy(each)), peer)[:64]
        return peer

    async def person(self, request: Request, cookie: str) -> Person | None:
        """Return who is asking; None if they have to log in first."""
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = None if self._users is None else self._users.current().token(secret.strip())
            return None if found is None else Person(found[0], found[1], None)
        session = await self._session(request, cookie)
        told = self._told(request)
        if told is None:
            if session is None:
                return None
            role = self._role(session)
            return None if role is None else Person(session.name, role, session.csrf)
        name, role = told
        if session is not None and session.name == name:
            return Person(name, role, session.csrf)
        token, started = await self._start(name, _TOLD)
        await self._remember(name, role)
        return Person(name, role, started.csrf, token)

    async def log_in(self, name: str, password: str, address: str) -> str | None:
        """Return the token of a new session; None for a wrong name or password. Raises TooMany."""
        if self._users is None or self._passwords is None:
            return None
        await self._check_rate(name, address)
        user = self._users.current().users.get(name)
        async with self._checking:
            right = await asyncio.to_thread(self._passwords.fits, user, password)
        if not right:
            await self.note(Action.LOGIN_FAILED, name, address)
            return None
        token, _ = await self._start(name, None)
        if user is not None:
            await self._remember(name, user.role)
        await self.note(Action.LOGIN, name, address)
        return token

    async def let_in(self, name: str, claimed: Role | None, address: str) -> str | None:
        """Return the token of a new session of somebody whom a provider has logged in; None if they have no role here."""
        role = claimed
        if role is None and self._settings.default_role is not None:
            role = Role(self._settings.default_role)
        known = self.known(name)
        if known is None and role is None:
            await self.note(Action.LOGIN_FAILED, name, f"{address}: no role")
            return None
        await self.note(Action.LOGIN, name, address)
        # The users file is asked again at every request, so that taking a user out is enough.
        token, _ = await self._start(name, None if known is not None else str(role))
        if (has := known or role) is not None:
            await self._remember(name, has)
        return token

    async def log_out(self, cookie: str) -> None:
        """End a session."""
        await asyncio.to_thread(self._sessions.end, cookie)

    async def note(self, action: Action, name: str, detail: str) -> None:
        """Write into the journal."""
        await asyncio.to_thread(self._journal.add, Entry(self._now_ms(), name, action, detail=detail))

    def known(self, name: str) -> Role | None:
        """Return the role that the users file gives to a name; None if it does not know it."""
        user = None if self._users is None else self._users.current().users.get(name)
        return None if user is None else user.role

    async def _session(self, request: Request, cookie: str) -> Session | None:
        token = request.cookies.get(cookie, "")
        return await asyncio.to_thread(self._sessions.find, token, self._now_ms()) if token else None

    async def _start(self, name: str, role: str | None) -> tuple[str, Session]:
        now = self._now_ms()
        until = now + round(self._settings.session_hours * 3_600_000)
        return await asyncio.to_thread(self._sessions.start, name, role, now, until)

    async def _remember(self, name: str, role: Role) -> None:
        await asyncio.to_thread(self._known.remember, name, str(role), self._now_ms())

    def _role(self, session: Session) -> Role | None:
        """Return the role of a session's name now: a user who was taken out has none."""
        if session.role is None:
            return self.known(session.name)
        return None if session.role == _TOLD else Role(session.role)

    def _told(self, request: Request) -> tuple[str, Role] | None:
        """Return who somebody is without having logged in here."""
        if self._local is not None:
            return self._local, Role.OPERATOR
        peer = request.client.host if request.client is not None else ""
        name = request.headers.get(self._settings.proxy_user_header, "").strip()
        if not name or not name.isprintable() or len(name) > 256 or not self._is_proxy(peer):
            return None
        role = self.known(name) or (None if self._settings.default_role is None else Role(self._settings.default_role))
        return None if role is None else (name, role)

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)

    async def _check_rate(self, name: str, address: str) -> None:
        since = self._now_ms() - WINDOW_S * 1000
        wrong = Action.LOGIN_FAILED
        for limit, by_name, by_address in (
            (_WRONG_FOR_BOTH, name, address),
            (_WRONG_FROM_ADDRESS, None, address),
            (_WRONG_FOR_NAME, name, None),
        ):
            if await asyncio.to_thread(self._journal.count, wrong, since, name=by_name, detail=by_address) >= limit:
                raise TooMany


def same(one: str, other: str) -> bool:
    """Compare two secrets in a time that tells nothing of them."""
    return secrets.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))
