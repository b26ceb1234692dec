"""Several processes of one settings file on one machine: each has its metrics on another port."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from pathlib import Path

import aiohttp
import yaml

from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, local_connection
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess

PATIENCE_S = 60.0


async def metrics_url(child: ChildProcess) -> str:
    """The address of /metrics that a process names in its log."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := re.search(r"metrics served +url=(\S+)", child.tail(1_000))):
            assert child.alive, child.tail()
            await asyncio.sleep(0.05)
    return found[1]


async def test_two_workers_and_a_prober_start_from_one_file(
    embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path
) -> None:
    connection, prefix = local_connection(embedded_broker), f"several-{secrets.token_hex(4)}."
    settings = demo_settings(connection, model_server.url, model_server.labels, Policy(), tmp_path, prefix)
    await create_topics(connection, prefix=prefix, partitions=2, replication=1)
    with ReservedPort() as port:
        first = port.number
    metrics = settings.metrics.model_copy(update={"port": first, "port_search": 100})
    values = settings.model_copy(update={"metrics": metrics}).model_dump(mode="json")
    price = {"input_usd_per_million": 0.0, "output_usd_per_million": 0.0}
    probed = {"name": "cheap", "base_url": model_server.url, "model": settings.tiers.cheap.model} | price
    config = tmp_path / "hedgerow.yaml"
    config.write_text(yaml.safe_dump(values | {"endpoints": {"endpoints": [probed]}}))
    commands = (["worker", "--agents", "score"], ["worker", "--agents", "score"], ["probe", "run"])
    children = [
        ChildProcess([sys.executable, "-m", "streams.cli", *command, "--config", str(config)]) for command in commands
    ]
    try:
        urls = [await metrics_url(child) for child in children]
        assert len(set(urls)) == 3
        for url in urls:
            assert url.startswith("http://127.0.0.1:")
            async with aiohttp.request("GET", url) as response:
                assert response.status == 200
    finally:
        for child in children:
            await child.stop(PATIENCE_S)
