"""hedgerow topics: creates and lists the topics."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run
from streams.cli.tables import Column, show_table
from streams.core.wording import counted
from streams.errors import StopWorker

if TYPE_CHECKING:
    from streams.kafka.connection import Connection
    from streams.settings import Settings

_BETWEEN_TRIES_S = 0.2

app = typer.Typer(help="Create and list the topics.", no_args_is_help=True)


@app.command()
def create(
    config: Config = DEFAULT_CONFIG,
    acls: Annotated[
        Path | None, typer.Option(help="YAML file of users to give their rights, such as deploy/kafka-rights.yaml")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a broker that does not answer yet")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are not there yet, and keep all of them as topics.retention_days says.

    With --acls users are given their rights on them, too.
    """
    from streams.kafka.acls import grant
    from streams.kafka.retention import keep
    from streams.kafka.rights import acls_of, load_rights
    from streams.settings import load_settings

    settings = load_settings(config)
    topics, users = settings.topics, load_rights(acls) if acls else ()
    if wait:
        run(_wait_for_broker(settings.broker.connection, wait))
    created = create_all(settings)
    older = {name: days for name, days in topics.retention_days.items() if topics.prefix + name not in created}
    changed = run(keep(settings.broker.connection, older, prefix=topics.prefix))
    given = run(grant(acls_of(users, topics.prefix), settings.broker.connection)) if users else 0
    if as_json:
        kept = {"kept": changed} if topics.retention_days else {}
        rights = {"rights": given} if users else {}
        print(orjson.dumps({"created": created} | kept | rights).decode())
    else:
        print("\n".join(f"created {name}" for name in created) or "all topics are there")
        for name in changed:
            print(f"{name} is kept for another time now")
        if users:
            print(f"{counted(given, 'right')} given to {counted(len(users), 'user')}")


def create_all(settings: Settings) -> list[str]:
    """Create the topics that are not there yet, as the settings size them, and return their names."""
    from schemas import TOPICS
    from streams.kafka.retention import wanted
    from streams.kafka.topics import create_topics

    topics = settings.topics
    return run(
        create_topics(
            settings.broker.connection,
            prefix=topics.prefix,
            partitions=topics.partitions,
            replication=topics.replication,
            configs={name: wanted(TOPICS[name], days) for name, days in topics.retention_days.items()},
        )
    )


@app.command("acls")
def print_acls(
    file: Annotated[Path, typer.Argument(help="YAML file of users, such as deploy/kafka-rights.yaml")],
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Print the users' rights as arguments of kafka-acls.sh, one line each; needs no broker."""
    from streams.kafka.rights import acls_of, load_rights
    from streams.settings import load_settings

    for acl in acls_of(load_rights(file), load_settings(config).topics.prefix):
        print(acl.command)


@app.command("list")
def list_topics(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Say which topics are there and how many partitions each has."""
    from streams.kafka.topics import topic_states
    from streams.settings import load_settings

    settings = load_settings(config)
    states = run(topic_states(settings.broker.connection, settings.topics.prefix))
    if as_json:
        print(orjson.dumps({state.name: state.partitions for state in states}).decode())
    else:
        rows = [(state.name, str(state.partitions) if state.partitions else "not there") for state in states]
        show_table((Column("topic"), Column("partitions", right=True)), rows)


async def _wait_for_broker(connection: Connection, seconds: float) -> None:
    """Wait until the broker answers; after this many seconds leave it to the next call to say why it does not."""
    from streams.kafka.diagnosis import dial

    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                with suppress(StopWorker):
                    (await dial(connection.bootstrap, connection.security)).close()
                    return
                await asyncio.sleep(_BETWEEN_TRIES_S)
