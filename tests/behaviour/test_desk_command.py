"""hedgerow desk as a process: a reviewer logs in and decides, the result is routed once, whatever is killed meanwhile."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas import Review, Routed, Verdict
from streams.desk.serving import check_exposure
from streams.errors import SettingsError
from streams.kafka.readers import decode, reader
from streams.kafka.topics import create_topics
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.settings import Settings, is_loopback, load_settings
from tests.support.commands import Hedgerow
from tests.support.desks import PASSWORD, desk_of, desk_settings, doubt, users_file, written
from tests.support.watchers import until


async def logged_in(client: httpx.AsyncClient) -> str:
    """Log rita in and return the token of her forms."""
    page = await client.get("/login")
    [token] = re.findall(r'name="csrf" value="([^"]+)"', page.text)
    done = await client.post("/login", data={"csrf": token, "name": "rita", "password": PASSWORD})
    assert done.status_code == 303, done.text
    return re.findall(r'name="csrf" value="([^"]+)"', (await client.get("/queue")).text)[0]


async def results(settings: Settings, count: int) -> list[Any]:
    """What is on routed and verdicts once this many are, or after some seconds."""
    found: list[Any] = []
    deadline = time.monotonic() + 30
    async with reader(["routed", "verdicts"], settings.broker.connection, prefix=settings.topics.prefix) as consumer:
        while len(found) < count and time.monotonic() < deadline:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [decode(record, settings.topics.prefix) for record in records]
    return found


async def test_a_decision_is_routed_after_its_undo_and_after_a_kill(
    embedded_broker: EmbeddedBroker, tmp_path: Path
) -> None:
    prefix = "desk-kill."
    settings = desk_settings(
        tmp_path,
        bootstrap=embedded_broker.bootstrap,
        prefix=prefix,
        users=str(users_file(tmp_path)),
        undo_s=3.0,
    )
    config = written(tmp_path, settings)
    await create_topics(settings.broker.connection, prefix=prefix, partitions=1, replication=1)
    store = ReviewStore(settings.review.url)
    store.add_all([doubt("t-1", 2.0), doubt("t-2", 1.0)])
    async with desk_of(config) as (process, address), httpx.AsyncClient(base_url=address) as rita:
        token = await logged_in(rita)
        await rita.get("/tickets/t-1")
        for ticket_id, label in (("t-1", "refund"), ("t-2", "account")):
            fields = {"csrf": token, "review_id": Review.id_for(ticket_id), "label": label}
            assert (await rita.post("/decide", data=fields)).status_code == 303
        undone = await rita.post("/undo", data={"csrf": token, "review_id": Review.id_for("t-2")})
        assert undone.status_code == 303
        await process.kill()
    assert [item.review.ticket_id for item in store.waiting(9)] == ["t-2"]
    async with desk_of(config) as (_, address), httpx.AsyncClient(base_url=address) as rita:
        token = await logged_in(rita)
        fields = {"csrf": token, "review_id": Review.id_for("t-2"), "none": "1"}
        assert (await rita.post("/decide", data=fields)).status_code == 303
        found = await results(settings, 4)
    assert sorted((type(each).__name__, each.ticket_id, each.label) for each in found) == [
        ("Routed", "t-1", "refund"),
        ("Routed", "t-2", None),
        ("Verdict", "t-1", "refund"),
        ("Verdict", "t-2", None),
    ]
    assert all(each.decided_by == "human" if isinstance(each, Routed) else each.decided_by == "rita" for each in found)
    await until(lambda: store.unsent() == [])
    assert {each.suggested for each in found if isinstance(each, Verdict)} == {"shipping"}
    store.close()


def test_a_desk_without_a_login_is_for_this_machine_alone(hedgerow: Hedgerow, tmp_path: Path) -> None:
    config = written(tmp_path, desk_settings(tmp_path))
    said = hedgerow("desk", "--host", "0.0.0.0", "-c", config)
    assert said.code == 2
    assert "a desk on 0.0.0.0 needs a login" in said.err
    assert len(said.err.splitlines()) == 1
    check_exposure(desk_settings(tmp_path, host="::1"))
    check_exposure(desk_settings(tmp_path, host="0.0.0.0", trusted_proxies=["10.0.0.1"]))
    check_exposure(desk_settings(tmp_path, host="0.0.0.0", users="users.yaml"))
    for host in ("::", "10.0.0.1", "desk.example"):
        assert not is_loopback(host)
        with pytest.raises(SettingsError, match="needs a login"):
            check_exposure(desk_settings(tmp_path, host=host))
    with pytest.raises(SettingsError, match="trusted_proxies"):
        desk_settings(tmp_path, trusted_proxies=["everybody"])


def test_users_and_tokens_are_written_and_listed(
    hedgerow: Hedgerow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "users.yaml"
    added = hedgerow("desk", "user", "add", "ann", "--role", "lead", "--users", path, stdin=b"correct horse\n")
    assert (added.code, added.out) == (0, f"ann is a lead in {path}\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"correct horse" not in path.read_bytes()
    assert b"$argon2id$" in path.read_bytes()
    token = hedgerow("desk", "token", "add", "wallboard", "--role", "reviewer", "-u", path).out.strip()
    assert token.encode() not in path.read_bytes()
    listed = hedgerow("desk", "user", "list", "--json", "-u", path).rows
    assert listed == [
        {"name": "ann", "role": "lead", "login": "password"},
        {"name": "wallboard", "role": "reviewer", "login": "token"},
    ]
    for arguments, words, stdin in (
        (("user", "add", "bob", "--role", "boss"), "reviewer, lead, operator is expected", b"correct horse\n"),
        (("user", "add", "bob", "--role", "lead"), "a password has 8 to 1024 characters", b"short\n"),
        (("user", "add", "a\x1bb", "--role", "lead"), "a name is printable", b"correct horse\n"),
        (("user", "remove", "bob"), "no user 'bob'", b""),
    ):
        said = hedgerow("desk", *arguments, "-u", path, stdin=stdin)
        assert said.code == 2
        assert words in said.err
        assert len(said.err.splitlines()) == 1
    assert hedgerow("desk", "user", "remove", "ann", "-u", path).code == 0
    assert len(hedgerow("desk", "user", "list", "--json", "-u", path).rows) == 1


def test_the_users_file_is_found_beside_the_settings(tmp_path: Path) -> None:
    settings = desk_settings(tmp_path, users="desk-users.yaml")
    assert load_settings(written(tmp_path, settings)).desk.users == str(tmp_path / "desk-users.yaml")
