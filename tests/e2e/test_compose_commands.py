"""Every command that the deployment files give our image, as a plain process, with tickets through all of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import yaml
from prometheus_client.parser import text_string_to_metric_families

from schemas import Review, Routed
from streams.agents.registry import AGENTS, WATCHERS
from streams.kafka.connection import Connection
from streams.kafka.readers import decode, reader
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.ports import ReservedPort
from streams.sandbox.process import ChildProcess
from streams.sandbox.tickets import DEMO

ROOT = Path(__file__).parents[2]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {
    name: service["command"]
    for name, service in SERVICES.items()
    if service["image"].startswith("hedgerow") and "profiles" not in service
}
STAYING = (*AGENTS, "prober", "watch")
#: The image's entry point, and its working directory, where hedgerow.yaml is.
HEDGEROW = str(Path(sys.executable).with_name("hedgerow"))
WORKDIR = ROOT / "deploy" / "docker"
START_S = 90.0
STOP_S = 30.0

Environment = dict[str, str]


def run_to_end(command: list[str], env: Environment) -> str:
    done = subprocess.run(
        [HEDGEROW, *command], env=env, cwd=WORKDIR, capture_output=True, text=True, timeout=START_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wait_for_topics_as_a_pod_does(env: Environment) -> None:
    """Run what holds a Kubernetes worker back; with all topics there it ends."""
    deployment = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "score.yaml").read_text())
    (first,) = deployment["spec"]["template"]["spec"]["initContainers"]
    path = f"{Path(HEDGEROW).parent}:{env['PATH']}"
    subprocess.run(
        [*first["command"], *first["args"]], env={**env, "PATH": path}, cwd=WORKDIR, timeout=START_S, check=True
    )


async def until(condition: Callable[[], Awaitable[bool]], what: str, *children: ChildProcess) -> None:
    """Ask again until it holds; fail when one of the children ends or it takes too long."""
    deadline = time.monotonic() + START_S
    while not await condition():
        for child in children:
            assert child.alive, child.tail()
        assert time.monotonic() < deadline, f"{what} is still to come\n" + "\n".join(child.tail() for child in children)
        await asyncio.sleep(0.1)


async def fetch(url: str) -> str | None:
    """Return the page, or None where nothing listens yet."""
    try:
        async with aiohttp.request("GET", url, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return await response.text() if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError):
        return None


async def sample(port: int, name: str, agent: str | None = None) -> float:
    """Return one sample of a process's /metrics; 0 where it is not there yet."""
    page = await fetch(f"http://127.0.0.1:{port}/metrics") or ""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return sum(one.value for one in samples if one.name == name and one.labels.get("agent") == agent)


async def is_at_work(service: str, port: int) -> bool:
    """Tell whether a prober leads, and whether every agent of a worker has its partitions."""
    if service == "prober":
        return await sample(port, "hedgerow_prober_leads") == 1
    agents = WATCHERS if service == "watch" else (service,)
    return all([await sample(port, "hedgerow_rebalances_total", agent) > 0 for agent in agents])


@asynccontextmanager
async def model_server(env: Environment) -> AsyncIterator[str]:
    """Run the command of the service `models` on a free port of this machine and yield its base URL."""
    with ReservedPort() as port:
        command = ["127.0.0.1" if word == "0.0.0.0" else word for word in OURS["models"]]
        command[command.index("--port") + 1] = str(port.number)
        child = ChildProcess([HEDGEROW, *command], env=env, cwd=WORKDIR)
        try:
            await until(lambda: is_up(port.number), "the model server", child)
            yield f"http://127.0.0.1:{port.number}/v1"
            # Its own process group, as the whole container gets it: the command runs the server as a child.
            os.killpg(child.pid, signal.SIGTERM)
            assert await child.wait(STOP_S) is not None, "the model server ignores SIGTERM"
            await until(lambda: is_down(port.number), "the model server's end")
        finally:
            with suppress(ProcessLookupError):  # nobody is left in it
                os.killpg(child.pid, signal.SIGKILL)
            await child.kill()


async def is_up(port: int) -> bool:
    return await fetch(f"http://127.0.0.1:{port}/v1/models") is not None


async def is_down(port: int) -> bool:
    return not await is_up(port)


@asynccontextmanager
async def workers(env: Environment) -> AsyncIterator[dict[str, int]]:
    """Run the command of every service that stays until it is at work; yield the ports of their /metrics.

    At the end each gets SIGTERM and has to end well.
    """
    ports = {service: ReservedPort() for service in STAYING}
    children = {
        service: ChildProcess(
            [HEDGEROW, *OURS[service]], env={**env, "HEDGEROW_METRICS__PORT": str(port.number)}, cwd=WORKDIR
        )
        for service, port in ports.items()
    }
    try:
        for service, child in children.items():
            await until(partial(is_at_work, service, ports[service].number), f"the service {service}", child)
            assert await fetch(f"http://127.0.0.1:{ports[service].number}/health") is not None
        yield {service: port.number for service, port in ports.items()}
        for child in children.values():
            os.kill(child.pid, signal.SIGTERM)
        for service, child in children.items():
            assert await child.wait(STOP_S) == 0, f"{service}: {child.tail()}"
    finally:
        for child in children.values():
            await child.kill()
        for port in ports.values():
            port.release()


async def outcomes(connection: Connection, prefix: str, wanted: set[str]) -> list[Routed | Review]:
    """Read where tickets end until each wanted one has."""
    ends: list[Routed | Review] = []
    async with asyncio.timeout(START_S), reader(["routed", "reviews"], connection, prefix=prefix) as consumer:
        while not wanted <= {end.ticket_id for end in ends}:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                messages = (decode(record, prefix) for record in records)
                ends += [message for message in messages if isinstance(message, Routed | Review)]
    return ends


def one_ticket_of_each_slice() -> dict[str, str]:
    rows = [json.loads(line) for line in DEMO.read_text(encoding="utf-8").splitlines()]
    first = {row["slice"]: row for row in reversed(rows)}
    return {
        row["ticket_id"]: json.dumps({"ticket_id": row["ticket_id"], "text": row["text"]}) for row in first.values()
    }


async def test_commands_carry_tickets_as_plain_processes(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    assert OURS.keys() == {"topics", "models", *STAYING}
    prefix = f"compose-{uuid.uuid4().hex[:6]}."
    reviews = f"sqlite:///{tmp_path / 'reviews.db'}"
    env = {name: value for name, value in os.environ.items() if not name.startswith("HEDGEROW_")} | {
        "HEDGEROW_BROKER__BOOTSTRAP": embedded_broker.bootstrap,
        # The embedded broker lets a group wait half of this before it begins.
        "HEDGEROW_BROKER__SESSION_TIMEOUT_S": "2",
        "HEDGEROW_BROKER__HEARTBEAT_S": "0.3",
        "HEDGEROW_BROKER__REBALANCE_TIMEOUT_S": "2",
        "HEDGEROW_TOPICS__PREFIX": prefix,
        "HEDGEROW_METRICS__HOST": "127.0.0.1",
        "HEDGEROW_REVIEW__URL": reviews,
    }
    tickets = one_ticket_of_each_slice()
    assert len(tickets) == 6
    file = tmp_path / "tickets.jsonl"
    file.write_text("".join(f"{line}\n" for line in tickets.values()), encoding="utf-8")

    assert f"created {prefix}tickets" in await asyncio.to_thread(run_to_end, OURS["topics"], env)
    assert "all topics are there" in await asyncio.to_thread(run_to_end, OURS["topics"], env)
    await asyncio.to_thread(wait_for_topics_as_a_pod_does, env)
    async with model_server(env) as url:
        env |= {f"HEDGEROW_TIERS__{tier}__BASE_URL": url for tier in ("CHEAP", "BIG")}
        probed = yaml.safe_load((WORKDIR / "endpoints.yaml").read_text())["endpoints"]
        probed = [{**endpoint, "base_url": url, "interval_s": 1} for endpoint in probed]
        env["HEDGEROW_ENDPOINTS"] = json.dumps({"endpoints": probed})
        async with workers(env) as ports:
            await asyncio.to_thread(run_to_end, ["produce", str(file)], env)
            ends = await outcomes(Connection(embedded_broker.bootstrap), prefix, set(tickets))
            in_review = {end.ticket_id for end in ends if isinstance(end, Review)}

            async def stored() -> bool:
                name = "hedgerow_handling_seconds_count"
                return await sample(ports["review"], name, "review") >= len(in_review)

            await until(stored, "the end of the review queue's work")

            async def watched() -> bool:
                return await sample(ports["watch"], "hedgerow_handling_seconds_count", "drift") >= len(probed)

            await until(watched, "a probe of each endpoint at the drift agent")
            for agent in ("classify", "score"):
                assert await sample(ports[agent], "hedgerow_handling_seconds_count", agent) == len(tickets)

    assert sorted(end.ticket_id for end in ends) == sorted(tickets), "each ticket ends once"
    assert in_review, "the ticket that is out of scope at least"
    assert {item.review.ticket_id for item in ReviewStore(reviews).waiting(100)} == in_review
