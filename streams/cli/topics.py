"""hedgerow topics: creates and lists the topics."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run
from streams.cli.tables import Column, show_table
from streams.cli.terminal import one_line
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
    alter: Annotated[
        bool, typer.Option("--alter", help="Set topics that are there already as this release wants them, too")
    ] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a broker that does not answer yet")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are not there yet, and keep all of them as topics.retention_days says.

    Topics that are there already, from an earlier release for instance, may be set otherwise than this release wants: that
    is said, and altered with --alter. With --acls users are given their rights on them, too.
    """
    from schemas import TOPICS
    from streams.kafka.acls import grant
    from streams.kafka.retention import alter as alter_topics
    from streams.kafka.retention import parted, set_otherwise
    from streams.kafka.rights import acls_of, load_rights
    from streams.settings import load_settings

    settings = load_settings(config)
    topics, users = settings.topics, load_rights(acls) if acls else ()
    if wait:
        run(_wait_for_broker(settings.broker.connection, wait))
    created = create_all(settings)
    connection, days, prefix = settings.broker.connection, topics.retention_days, topics.prefix
    older = [name for name in TOPICS if prefix + name not in created]
    try:
        differ = run(set_otherwise(connection, older, days, prefix=prefix))
    except StopWorker as error:
        if days or alter:
            raise
        print(one_line(f"hedgerow: topics that are there are not compared: {error}"), file=sys.stderr)
        differ = {}
    kept, rest = parted(differ, days, prefix=prefix)
    altered, left = (differ, {}) if alter else (kept, rest)
    run(alter_topics(connection, altered))
    given = run(grant(acls_of(users, prefix), connection)) if users else 0
    if as_json:
        said = {"kept": list(altered)} if days or alter else {}
        otherwise = {"otherwise": {name: other.changes for name, other in left.items()}} if left else {}
        rights = {"rights": given} if users else {}
        print(orjson.dumps({"created": created} | said | otherwise | rights).decode())
    else:
        print("\n".join(f"created {name}" for name in created) or "all topics are there")
        for name, other in altered.items():
            print(f"{name} is altered: {', '.join(f'{key}={wish}' for key, (_, wish) in other.changes.items())}")
        for name, other in left.items():
            print(f"{name} is set otherwise than this release wants: {other}; --alter changes it")
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
