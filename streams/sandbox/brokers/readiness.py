"""Whether a broker answers, asked in its own protocol."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

_ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What one node says of its cluster: who is in it, and whether every replica has caught up."""

    cluster_id: str
    nodes: frozenset[int]
    in_sync: bool


async def cluster_view(port: int) -> ClusterView | None:
    """Ask the node on this port of 127.0.0.1 for its metadata; None when it gives no answer yet."""
    connection = None
    try:
        async with asyncio.timeout(_ANSWER_SECONDS):
            connection = await create_conn("127.0.0.1", port, client_id="hedgerow-sandbox")
            answer = (await connection.send(MetadataRequest())).to_object()
    except (OSError, KafkaError, TimeoutError):
        return None
    finally:
        if connection is not None:
            connection.close()
    return ClusterView(
        cluster_id=answer["cluster_id"],
        nodes=frozenset(node["node_id"] for node in answer["brokers"]),
        in_sync=all(
            len(partition["isr"]) == len(partition["replicas"])
            for topic in answer["topics"]
            for partition in topic["partitions"]
        ),
    )
