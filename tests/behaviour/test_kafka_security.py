"""Apache Kafka with TLS, SCRAM users and ACLs switched on: each role works with its own user, and each refusal is one line."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from schemas import TOPICS, DeadLetter, Message, Review, Routed
from streams.agents.registry import AGENTS, AgentName, topics_of
from streams.cli.forget import Report, forget_on_topics
from streams.cli.rerun import send_through_again
from streams.cli.rerun_sources import Source, Wanted
from streams.core.policy.policy import Policy
from streams.demo.run import demo_settings, read_lines
from streams.errors import StopWorker
from streams.kafka.acls import grant
from streams.kafka.client_security import ClientSecurity
from streams.kafka.connection import Connection
from streams.kafka.example_book import example_topic, read_memory
from streams.kafka.leader import Leadership
from streams.kafka.letter_book import read_letters
from streams.kafka.produce import produce
from streams.kafka.readers import decode, reader
from streams.kafka.redrive import letter_desk
from streams.kafka.results import find_result
from streams.kafka.retention import Otherwise, alter, set_otherwise
from streams.kafka.rights import UserRights, acls_of, load_rights
from streams.kafka.send import publish
from streams.kafka.topics import create_topics, topic_states
from streams.prober.metrics import ProbeMetrics
from streams.prober.prober import Prober
from streams.reviews.decision import outcome_of
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.kafka import LocalKafka
from streams.sandbox.brokers.kafka_config import KafkaSecurity
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import Settings
from streams.worker.worker import Worker
from tests.support.brokers import require_kafka, run_apart
from tests.support.certificates import BrokerCertificate
from tests.support.messages import dead_letter, example, probe, review, routed

pytestmark = pytest.mark.kafka

RIGHTS = load_rights(Path(__file__).parents[2] / "deploy" / "kafka-rights.yaml")
ALL = tuple(topics_of(["classify"]))
#: Users for a classify worker that lack one thing: to be in the group, to read the tickets, to write what comes of them.
#: What they may do to a topic instead lets them see that it is there.
SHORT = (
    UserRights(user="no-group", read=ALL, write=ALL),
    UserRights(
        user="no-read", read=tuple(topic for topic in ALL if topic != "tickets"), write=ALL, groups=("classify",)
    ),
    UserRights(user="no-alerts", read=("reviews",), write=("alerts", "dead-letters"), groups=("review",)),
    UserRights(user="no-write", read=ALL, groups=("classify",)),
    UserRights(user="no-output", read=ALL, write=("dead-letters", "fleet"), groups=("classify",)),
    UserRights(user="prober-no-group", read=("probes",), write=("probes",)),
    UserRights(
        user="no-topic", read=("tickets",), write=tuple({*ALL} - {"tickets", "classifications"}), groups=("classify",)
    ),
)
PATIENCE_S = 60.0
ROWS = 40


@dataclass(frozen=True, slots=True)
class Secured:
    """A broker that lets in who has a password, and lets them do what they have the right to."""

    bootstrap: str
    ca_file: Path

    def security(self, user: str, **changes: Any) -> ClientSecurity:
        values = {"username": user, "password_env": _variable(user), "ca_file": self.ca_file}
        return ClientSecurity(**({"protocol": "SASL_SSL"} | values | changes))

    def connection(self, user: str) -> Connection:
        return Connection(self.bootstrap, session_timeout_s=6.0, heartbeat_s=0.5, security=self.security(user))


def _variable(user: str) -> str:
    return f"PASSWORD_OF_{user.upper().replace('-', '_')}"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    require_kafka()
    certificate = BrokerCertificate.make(tmp_path_factory.mktemp("certificate"))
    users = {each.user: f"{each.user}-secret" for each in (*RIGHTS, *SHORT)} | {"root": "root-secret"}
    security = KafkaSecurity("SASL_SSL", users, administrators=["root"], properties=certificate.properties)
    broker = LocalKafka(security=security)
    with pytest.MonkeyPatch.context() as patch:
        for user, password in users.items():
            patch.setenv(_variable(user), password)
        run_apart(broker.start())
        try:
            made = Secured(broker.bootstrap, certificate.pem)
            run_apart(_prepare(made))
            yield made
        finally:
            run_apart(broker.stop())


async def _prepare(secured: Secured) -> None:
    root = secured.connection("root")
    for prefix, users in (("well.", RIGHTS), ("short.", SHORT)):
        assert await grant(acls_of(users, prefix), root) == len(list(acls_of(users, prefix)))
    # What is in the list for the admin is enough to create the topics.
    await create_topics(secured.connection("admin"), prefix="well.", partitions=2, replication=1)
    await create_topics(root, prefix="short.", partitions=1, replication=1)
    await produce([b'{"ticket_id": "t", "text": "Where is my parcel?"}'], root, prefix="short.")


def settings_of(secured: Secured, user: str, models: ModelServer, folder: Path, prefix: str = "well.") -> Settings:
    settings = demo_settings(secured.connection(user), models.url, models.labels, Policy(), folder, prefix)
    broker = settings.broker.model_copy(update={"security": secured.security(user)})
    return settings.model_copy(update={"broker": broker})


@asynccontextmanager
async def working(settings: Settings, agent: AgentName) -> AsyncIterator[None]:
    worker = Worker(settings, [agent])
    task = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({task, asyncio.ensure_future(worker.ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
        yield
    finally:
        worker.stop()
        await task


async def test_every_role_can_do_its_work_with_its_own_user(
    secured: Secured, model_server: ModelServer, tmp_path: Path
) -> None:
    rows = [*read_lines(DEMO, ROWS), b"no ticket"]
    ends: list[Message] = []
    async with AsyncExitStack() as stack, asyncio.timeout(PATIENCE_S):
        for agent in AGENTS:
            await stack.enter_async_context(working(settings_of(secured, agent, model_server, tmp_path), agent))
        sent = await produce(rows, secured.connection("producer"), prefix="well.")
        assert all(row.partition is not None for row in sent)
        watched = ("routed", "reviews", "dead-letters")
        async with reader(watched, secured.connection("operator"), prefix="well.") as consumer:
            while len(ends) < len(rows):
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    ends += [message for record in records if (message := decode(record, "well.")) is not None]
    routed = [end for end in ends if isinstance(end, Routed)]
    reviews = [end for end in ends if isinstance(end, Review)]
    assert {end.decided_by for end in routed} == {"cheap", "big"}
    assert reviews
    assert sum(isinstance(end, DeadLetter) for end in ends) == 1

    verdict, result = outcome_of(reviews[0], reviews[0].suggested or model_server.labels[0], "ann", "", 1)
    await publish([verdict, result], secured.connection("review"), prefix="well.")
    async with reader(["routed"], secured.connection("consumer"), prefix="well.") as consumer, asyncio.timeout(20):
        while result not in [decode(record, "well.") async for record in _some(consumer)]:
            pass


async def _some(consumer: Any) -> AsyncIterator[Any]:
    for records in (await consumer.getmany(timeout_ms=100)).values():
        for record in records:
            yield record


async def test_the_operators_user_redrives_and_discards_dead_letters(secured: Secured) -> None:
    [at] = await produce([b"no ticket"], secured.connection("producer"), prefix="well.")
    letters = [
        dead_letter(topic="well.tickets", partition=at.partition, offset=offset, letter_id=str(offset))
        for offset in (100, 101, 102)
    ]
    await publish(letters, secured.connection("classify"), prefix="well.")
    for transactions, letter in zip((False, True), letters, strict=False):
        operator = secured.connection("operator")
        async with letter_desk(operator, prefix="well.", transactions=transactions) as desk:
            entry = desk.book.get(letter.origin)
            assert entry is not None
            await desk.redrive(entry, "ann", 1, run=1)
            last = desk.book.get(letters[-1].origin)
            assert last is not None
            await desk.discard(last, "ann", 1)
    book = await read_letters(secured.connection("operator"), prefix="well.")
    assert [book.get(letter.origin).state for letter in letters] == ["redriven", "redriven", "discarded"]  # type: ignore[union-attr]


async def test_the_operators_user_sends_tickets_through_again(
    secured: Secured, model_server: ModelServer, tmp_path: Path
) -> None:
    settings = settings_of(secured, "operator", model_server, tmp_path)
    ReviewStore(settings.review.url).add(review("again"))
    await publish(
        [dead_letter(topic="well.tickets", original=b"[", original_size=1)],
        secured.connection("classify"),
        prefix="well.",
    )
    for source, sent in ((Source.REVIEWS, 1), (Source.DEAD_LETTERS, 0)):
        done = await send_through_again(source, Wanted(), settings, "ann", 1_800_000_000_000, dry_run=False)
        assert done[0] == sent


async def test_the_operators_user_fills_the_memory_that_workers_read(secured: Secured) -> None:
    async with example_topic(secured.connection("operator"), prefix="well.") as topic:
        await topic.put([example("t-1"), example("t-2")])
        await topic.forget(["t-2"], "ann")
    for user in ("operator", "classify", "escalate"):
        book = await read_memory(secured.connection(user), prefix="well.")
        assert [each.example_id for each in book.examples] == ["t-1"]
    with pytest.raises(StopWorker, match=r"user classify the rights on topic well\.memory|write to no topic"):
        async with example_topic(secured.connection("classify"), prefix="well.") as topic:
            await topic.put([example("t-3")])


async def test_the_admins_user_has_topics_kept_for_another_time(secured: Secured) -> None:
    days = {"probes": 30.0}

    async def differs(user: str) -> dict[str, Otherwise]:
        return await set_otherwise(secured.connection(user), days, days, prefix="well.")

    seen = await differs("operator")
    assert list(seen) == ["well.probes"]
    with pytest.raises(StopWorker, match="probes"):
        await alter(secured.connection("operator"), seen)
    await alter(secured.connection("admin"), await differs("admin"))
    async with asyncio.timeout(PATIENCE_S):
        while await differs("operator"):
            await asyncio.sleep(0.1)


async def test_the_operators_user_forgets_a_ticket(secured: Secured, model_server: ModelServer, tmp_path: Path) -> None:
    settings = settings_of(secured, "operator", model_server, tmp_path)
    await publish([routed("forget-me"), review("forget-me")], secured.connection("score"), prefix="well.")
    report = Report("forget-me", dry_run=False)
    await forget_on_topics(report, settings, "otto")
    assert [place.place for place in report.places] == ["topic routed", "topic reviews"]
    assert None not in [place.until_ms for place in report.places]
    assert await find_result("forget-me", settings.broker.connection, prefix="well.") is None
    with pytest.raises(StopWorker, match="user classify"):
        await forget_on_topics(report, settings_of(secured, "classify", model_server, tmp_path), "otto")


async def test_the_probers_user_leads_and_sends(secured: Secured) -> None:
    connection = secured.connection("prober")
    async with Leadership("well.probes", "well.prober", connection) as leadership, asyncio.timeout(20):
        await leadership.leading.wait()
        await publish([probe()], connection, prefix="well.")


async def test_a_prober_that_may_not_be_in_its_group_ends(
    secured: Secured, model_server: ModelServer, tmp_path: Path
) -> None:
    settings = settings_of(secured, "prober-no-group", model_server, tmp_path, "short.")
    prober = Prober(settings, [], metrics=ProbeMetrics(CollectorRegistry()))
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StopWorker, match=r"user prober-no-group the rights on group short\.prober"):
            await prober.run()


async def test_a_user_sees_no_more_than_its_topics(secured: Secured) -> None:
    states = await topic_states(secured.connection("classify"), "well.")
    seen = {state.name.removeprefix("well.") for state in states if state.partitions}
    [classify] = [each for each in RIGHTS if each.user == "classify"]
    assert seen == {*classify.read, *classify.write} < set(TOPICS)
    with pytest.raises(StopWorker, match=r"or user classify has no right on them: well\.probes"):
        await publish([probe()], secured.connection("classify"), prefix="well.")
    with pytest.raises(StopWorker, match=r"by a superuser of Kafka.*user admin is neither"):
        await grant(acls_of([UserRights(user="ann", read=("tickets",))], ""), secured.connection("admin"))


REFUSALS = {
    "wrong password": (
        "classify",
        {"password_env": "PASSWORD_OF_ROOT"},
        "does not take user classify with this password",
    ),
    "untrusted certificate": ("classify", {"ca_file": None}, "certificate that is not trusted"),
    "no group": ("no-group", {}, "user no-group the rights on group short.classify"),
    "no read": ("no-read", {}, "user no-read the rights on topic short.tickets"),
    "no write": ("no-write", {}, "lets user no-write write to no topic"),
    "no output": ("no-output", {}, "this user the rights on topic short.classifications"),
}


@pytest.mark.parametrize(
    ("user", "changes", "line"),
    [
        ("classify", {"mechanism": "PLAIN"}, "takes no PLAIN"),
        ("classify", {"protocol": "SASL_PLAINTEXT", "ca_file": None}, "hangs up: is broker.security.protocol"),
        ("no-topic", {}, "or user no-topic has no right on them: short.classifications;"),
    ],
)
async def test_what_is_refused_at_the_start_ends_the_worker(
    secured: Secured, model_server: ModelServer, tmp_path: Path, user: str, changes: dict[str, Any], line: str
) -> None:
    settings = settings_of(secured, user, model_server, tmp_path, "short.")
    broker = settings.broker.model_copy(update={"security": secured.security(user, **changes)})
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StopWorker, match=line):
            await Worker(settings.model_copy(update={"broker": broker}), ["classify"]).run()


async def test_a_worker_that_may_not_read_the_alerts_ends(
    secured: Secured, model_server: ModelServer, tmp_path: Path
) -> None:
    settings = settings_of(secured, "no-alerts", model_server, tmp_path, "short.")
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StopWorker, match=r"user no-alerts the rights on topic short\.alerts"):
            await Worker(settings, ["review"]).run()


async def test_each_refusal_is_one_line_and_the_end(
    secured: Secured, model_server: ModelServer, tmp_path: Path
) -> None:
    async def run(name: str) -> tuple[int | None, str]:
        user, changes, _ = REFUSALS[name]
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        settings = settings_of(secured, user, model_server, folder, "short.").model_dump(mode="json")
        settings["topics"]["partitions"] = 1  # as they are there; a worker warns of fewer
        settings["broker"]["security"] = secured.security(user, **changes).model_dump(mode="json")
        config = folder / "hedgerow.yaml"
        config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        command = [sys.executable, "-m", "streams.cli", "worker", "--agents", "classify", "--config", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stderr=subprocess.PIPE, env=dict(os.environ))
        try:
            async with asyncio.timeout(PATIENCE_S):
                _, said = await process.communicate()
        except TimeoutError:
            process.kill()
            _, said = await process.communicate()
        return process.returncode, said.decode()

    ended = dict(zip(REFUSALS, await asyncio.gather(*map(run, REFUSALS)), strict=True))
    for name, (_, _, expected) in REFUSALS.items():
        code, said = ended[name]
        assert code == 2, f"{name}: {said}"
        *before, last = said.splitlines()
        assert "[error" in last, said
        assert expected in last, f"{name}: {said}"
        # Before it there may be what went well until then.
        assert all("[info" in line for line in before), f"{name}: {said}"
        assert "-secret" not in said
