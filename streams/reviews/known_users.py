"""Who has used a desk on this store: everybody who has logged in, wherever their password is kept."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from streams.reviews.database import Database
from streams.reviews.tables import USERS

_C = USERS.c


@dataclass(frozen=True, slots=True)
class KnownUser:
    """Somebody who has logged in, the role they had last, and the first and the last login (Unix time, milliseconds)."""

    name: str
    role: str
    first_ms: int
    last_ms: int


class KnownUsers:
    """Remembers who logs in. It lets nobody in: that is for the users file, the proxy or the provider."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def remember(self, name: str, role: str, at_ms: int) -> None:
        """Note a login."""
        insert = self._database.insert(USERS).values(name=name, role=role, first_ms=at_ms, last_ms=at_ms)
        new = insert.excluded
        upsert = insert.on_conflict_do_update(index_elements=[_C.name], set_={"role": new.role, "last_ms": new.last_ms})
        with self._database.transaction() as connection:
            connection.execute(upsert)

    def all(self) -> list[KnownUser]:
        """Return everybody, who logged in last first."""
        query = sa.select(USERS).order_by(_C.last_ms.desc(), _C.name)
        with self._database.transaction() as connection:
            return [KnownUser(row.name, row.role, row.first_ms, row.last_ms) for row in connection.execute(query)]
