"""Who is logged in at a desk, kept in the store so that every desk on it knows, and that a logout is one."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from schemas import bytes_of
from streams.reviews.database import Database
from streams.reviews.tables import SESSIONS

_C = SESSIONS.c


@dataclass(frozen=True, slots=True)
class Session:
    """One login."""

    name: str
    role: str | None
    """The role that the login named; None if the users file says which it is."""
    csrf: str
    """What every form of this session repeats."""
    until_ms: int
    """When it ends, Unix time in milliseconds."""


class Sessions:
    """Starts, finds and ends sessions. The token is the reviewer's alone: the store has its digest."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, name: str, role: str | None, at_ms: int, until_ms: int) -> tuple[str, Session]:
        """Start a session and return its token with it; those that have ended are dropped."""
        token, session = secrets.token_urlsafe(32), Session(name, role, secrets.token_urlsafe(24), until_ms)
        values = {"token": _digest(token), "name": name, "role": role, "csrf": session.csrf, "until_ms": until_ms}
        with self._database.transaction() as connection:
            connection.execute(sa.delete(SESSIONS).where(_C.until_ms <= at_ms))
            connection.execute(SESSIONS.insert().values(values))
        return token, session

    def find(self, token: str, at_ms: int) -> Session | None:
        """Return the session with this token, if it has not ended at that moment."""
        query = sa.select(SESSIONS).where(_C.token == _digest(token), _C.until_ms > at_ms)
        with self._database.transaction() as connection:
            row = connection.execute(query).first()
        return None if row is None else Session(row.name, row.role, row.csrf, row.until_ms)

    def end(self, token: str) -> None:
        """End a session."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(SESSIONS).where(_C.token == _digest(token)))


def _digest(token: str) -> bytes:
    # The token is as random as the digest is long: there is nothing to guess, and so nothing to make slow.
    return hashlib.sha256(bytes_of(token)).digest()
