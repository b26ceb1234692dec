"""hedgerow topics: creates and lists the topics."""

from __future__ import annotations

import orjson
import typer

from streams.cli.options import DEFAULT_CONFIG, AsJson, Config
from streams.cli.runtime import run

app = typer.Typer(help="Create and list the topics.", no_args_is_help=True)


@app.command()
def create(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Create the topics that are not there yet."""
    from streams.settings import load_settings
    from streams.topics import create_topics

    settings = load_settings(config)
    topics = settings.topics
    created = run(
        create_topics(
            settings.broker.connection,
            prefix=topics.prefix,
            partitions=topics.partitions,
            replication=topics.replication,
        )
    )
    if as_json:
        print(orjson.dumps({"created": created}).decode())
    else:
        print("\n".join(f"created {name}" for name in created) or "all topics are there")


@app.command("list")
def list_topics(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Say which topics are there and how many partitions each has."""
    from streams.settings import load_settings
    from streams.topics import topic_states

    settings = load_settings(config)
    states = run(topic_states(settings.broker.connection, settings.topics.prefix))
    if as_json:
        print(orjson.dumps({state.name: state.partitions for state in states}).decode())
    else:
        for state in states:
            print(f"{state.name:<40} {f'{state.partitions} partitions' if state.partitions else 'not there'}")
