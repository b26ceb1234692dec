"""A desk without a server: its application, and people who are logged in at it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml
from argon2 import PasswordHasher
from argon2.profiles import CHEAPEST

from schemas import Review
from streams.desk.app import Application
from streams.desk.desk import Desk
from streams.desk.roles import Role
from streams.desk.users import User, set_user
from streams.sandbox.process import ChildProcess
from streams.settings import Settings, check_settings
from tests.support.messages import LABELS, call, review, scored

PASSWORD = "correct horse"
#: A hash that takes no time.
CHEAP_HASH = PasswordHasher.from_parameters(CHEAPEST).hash(PASSWORD)
PEOPLE = {"rita": Role.REVIEWER, "rolf": Role.REVIEWER, "lea": Role.LEAD, "otto": Role.OPERATOR}


def desk_settings(folder: Path, *, bootstrap: str = "127.0.0.1:1", prefix: str = "", **desk: Any) -> Settings:
    """Settings with three labels and a review store in the folder."""
    tier = {"base_url": "http://127.0.0.1:1/v1", "model": "gpt-4o-mini"}
    values = {
        "broker": {"bootstrap": bootstrap},
        "topics": {"prefix": prefix},
        "labels": {"refund": "money back", "shipping": "", "account": "login & <password>"},
        "tiers": {"cheap": tier, "big": tier},
        "messages": {"write": 2},
        "review": {"url": f"sqlite:///{folder / 'reviews.db'}"},
        "redact": ["email"],
        "desk": desk,
    }
    return check_settings(values, "test")


def users_file(folder: Path) -> Path:
    """A file with one reviewer more than one, a lead and an operator, all with one password."""
    path = folder / "users.yaml"
    for name, role in PEOPLE.items():
        set_user(path, name, User(role=role, password=CHEAP_HASH))
    return path


def doubt(ticket_id: str, uncertainty: float = 1.0, **ticket: Any) -> Review:
    """A review with an answer of either tier."""
    base = review(ticket_id)
    return base.model_copy(
        update={
            "ticket": base.ticket.model_copy(update=ticket),
            "uncertainty": uncertainty,
            "calls": (call("cheap"), call("big", scored("shipping"))),
            "reasons": ("cheap:low_confidence", "big:tiers_disagree"),
            "suggested": "shipping",
        }
    )


class Browser(httpx.AsyncClient):
    """Somebody's browser: keeps cookies, finds a form's token, follows no redirect by itself."""

    def __init__(
        self, desk: Desk, *, secure: bool = False, hosts: tuple[str, ...] = (), peer: str = "127.0.0.1"
    ) -> None:
        app = Application(desk, secure=secure, hosts=hosts).asgi
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 1))
        super().__init__(transport=transport, base_url=f"http{'s' if secure else ''}://127.0.0.1")
        self.token = ""

    async def see(self, path: str, **options: Any) -> httpx.Response:
        """Get a page and remember the token of its forms."""
        page = await self.get(path, **options)
        if found := re.search(r'name="csrf" value="([^"]+)"', page.text):
            self.token = found[1]
        return page

    async def submit(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form with the token of the page that was seen last."""
        return await self.post(path, data={"csrf": self.token} | fields)

    async def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Log in as a user of the users file."""
        await self.see("/login")
        done = await self.submit("/login", name=name, password=password)
        await self.see("/queue")
        return done


def place(response: httpx.Response) -> str:
    """Return where a redirect leads to, without its query."""
    assert response.status_code == 303, (response.status_code, response.text)
    return urlsplit(response.headers["location"]).path


def written(folder: Path, settings: Settings) -> Path:
    path = folder / "hedgerow.yaml"
    path.write_text(yaml.safe_dump(settings.model_dump(mode="json", exclude_none=True)), encoding="utf-8")
    return path


@asynccontextmanager
async def desk_of(config: Path, *arguments: str) -> AsyncIterator[tuple[ChildProcess, str]]:
    """A desk that answers, and its address."""
    command = [sys.executable, "-m", "streams.cli", "desk", "--config", str(config), "--port", "0", *arguments]
    process = ChildProcess(command, output=config.parent / "desk.log")
    try:
        deadline = time.monotonic() + 60
        while not (found := re.findall(r"desk at (http://\S+)", process.tail())):
            assert process.alive, process.tail()
            assert time.monotonic() < deadline, process.tail()
            await asyncio.sleep(0.05)
        yield process, found[-1]
    finally:
        await process.stop(10)
        (config.parent / "desk.log").unlink(missing_ok=True)


__all__ = [
    "LABELS",
    "PASSWORD",
    "PEOPLE",
    "Browser",
    "desk_of",
    "desk_settings",
    "doubt",
    "place",
    "users_file",
    "written",
]
