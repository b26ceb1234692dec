"""A ticket that is forgotten: on both brokers and both stores, and what the report says of what is left."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas import DeadLetter, Message, Review, stable_id
from schemas.headers import FORGOTTEN_BY_HEADER
from streams.agents.registry import AGENTS, KEEPERS, USES
from streams.core.memory.index import Vectors
from streams.kafka.example_book import read_memory
from streams.kafka.results import find_result
from streams.kafka.send import publish
from streams.memory.embedding_cache import CachedEmbedder
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from tests.support.commands import Hedgerow
from tests.support.letters import LetterBox
from tests.support.messages import classification, escalation, example, review, routed, ticket, verdict
from tests.support.postgres import postgres, programs

DAY_MS = 86_400_000
HELD = ("tickets", "classifications", "escalations", "routed", "reviews", "verdicts", "dead-letters", "memory")


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    folder = programs()
    if folder is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres(folder) as url:
        yield url


class Deployment(LetterBox):
    """Topics, a store and a cache with two tickets, each everywhere."""

    def fill(self, folder: Path) -> None:
        self.cache = CachedEmbedder(Embedder(), folder)
        self.store = self.opened()
        self.store.add_all([self.review(name) for name in ("gone", "stays")])
        self.run(
            publish(
                [each for name in ("gone", "stays") for each in self.messages(name)],
                self.connection,
                prefix=self.prefix,
            )
        )
        self.run(self.cache.embed(["the text of gone", "the text of stays"]))

    def opened(self) -> ReviewStore:
        return ReviewStore(yaml.safe_load(self.config.read_text())["review"]["url"])

    def review(self, name: str) -> Review:
        return review(name).model_copy(update={"ticket": ticket(name, f"the text of {name}")})

    def messages(self, name: str) -> list[Message]:
        told = ticket(name, f"the text of {name}")
        letter = DeadLetter(
            letter_id=stable_id(name), topic=f"{self.prefix}tickets", partition=0, offset=7, key=None, original=told.encode(),
            original_size=len(told.encode()), agent="classify", reason="boom", error_class="E", detail="", attempts=1, at_ms=1,
        )  # fmt: skip
        return [
            told,
            classification(ticket_id=name, ticket=told),
            escalation(ticket_id=name, ticket=told),
            routed(name),
            routed(name, label="account", decided_by="human", decision=1),
            self.review(name),
            verdict(name),
            letter,
            example(f"example of {name}", ticket_id=name, text=f"the text of {name}"),
        ]

    def catch_up(self) -> None:
        """Commit as groups do that have handled all there is."""
        self.run(self._catch_up())

    async def _catch_up(self) -> None:
        for agent in AGENTS + KEEPERS:
            consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.bootstrap, group_id=self.prefix + agent)
            await consumer.start()
            try:
                places = [TopicPartition(self.prefix + USES[agent].reads, number) for number in (0, 1)]
                consumer.assign(places)
                await consumer.commit(await consumer.end_offsets(places))
            finally:
                await consumer.stop()

    def latest(self, topic: str) -> dict[bytes | None, bytes | None]:
        return {record.key: record.value for record in self.records(topic)}


class Embedder:
    model = "letters"
    dimensions = 2

    async def embed(self, texts: list[str]) -> Vectors:
        return np.array([[len(text), 1.0] for text in texts], dtype=np.float32)


@pytest.fixture(
    params=[
        "embedded sqlite",
        pytest.param("kafka sqlite", marks=pytest.mark.kafka),
        pytest.param("kafka postgresql", marks=pytest.mark.kafka),
    ]
)
def there(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    broker, _, store = request.param.partition(" ")
    deployment = Deployment(request.getfixturevalue(f"{broker}_broker"), tmp_path)
    if store == "postgresql":
        url = request.getfixturevalue("postgresql")
        values = yaml.safe_load(deployment.config.read_text())
        deployment.config.write_text(yaml.safe_dump(values | {"review": {"url": url}}))
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "cache"))
    deployment.fill(tmp_path / "cache")
    yield deployment
    deployment.store.close()


def vectors(folder: Path) -> int:
    [path] = (folder / "cache").glob("*.sqlite")
    with closing(sqlite3.connect(path)) as file:
        return int(file.execute("SELECT count(*) FROM vectors").fetchone()[0])


def test_nothing_of_the_ticket_stands_any_more(there: Deployment, hedgerow: Hedgerow, tmp_path: Path) -> None:
    there.catch_up()
    before = {topic: len(there.records(topic)) for topic in HELD}
    counted = hedgerow("forget", "gone", "-c", there.config, "--dry-run", "--json").json
    assert {topic: len(there.records(topic)) for topic in HELD} == before
    assert (vectors(tmp_path), there.store.get("gone") is None) == (2, False)

    now = time.time() * 1000
    said = hedgerow("forget", "gone", "-c", there.config, "--by", "otto", "--json")
    report = said.json
    found = {place["place"]: place for place in report["places"]}
    assert {name: place["found"] for name, place in found.items()} == {
        **{f"topic {topic}": 2 if topic == "routed" else 1 for topic in HELD},
        "review store": 2,
        "embeddings on this machine": 1,
    }
    assert [place["found"] for place in counted["places"]] == [place["found"] for place in report["places"]]

    for topic, key in (("routed", b"gone"), ("memory", b"example of gone")):
        assert there.latest(topic)[key] is None
        [tombstone] = [record for record in there.records(topic) if record.value is None]
        assert dict(tombstone.headers) == {FORGOTTEN_BY_HEADER: b"otto"}
    assert there.run(find_result("gone", there.connection, prefix=there.prefix)) is None
    assert [one.ticket_id for one in there.run(read_memory(there.connection, prefix=there.prefix)).examples] == [
        "stays"
    ]
    assert [item.review.ticket_id for item in there.store.each()] == ["stays"]
    assert vectors(tmp_path) == 1
    assert there.run(find_result("stays", there.connection, prefix=there.prefix)) is not None

    if isinstance(there.broker, LocalKafka):
        assert said.code == 0, said.err
        assert found["topic routed"]["until_ms"] == pytest.approx(now + DAY_MS, abs=DAY_MS / 10), (
            "it is compacted by then"
        )
        assert found["topic tickets"]["until_ms"] == pytest.approx(now + 14 * DAY_MS, abs=DAY_MS / 10), (
            "a week, and a file's"
        )
        assert report["gone_by_ms"] == max(place["until_ms"] for place in found.values() if place["left"])
    else:
        assert said.code == 1, "this broker does not say how long it keeps what"
        assert {place["until_ms"] for place in found.values()} == {None}, "it compacts nothing either, whatever is set"

    there.store.close()
    records = {topic: len(there.records(topic)) for topic in HELD}
    again = hedgerow("forget", "gone", "-c", there.config, "--json").json
    assert {topic: len(there.records(topic)) for topic in HELD} == records, "a second word says nothing new"
    assert "review store" not in {place["place"] for place in again["places"]}
    shown = hedgerow("consume", "routed", "--unique", "-c", there.config).out
    assert "stays" in shown
    assert "gone" not in shown
    if isinstance(there.broker, EmbeddedBroker):
        there.catch_up()
        told = hedgerow("forget", "gone", "-c", there.config)
        assert (told.code, told.err) == (1, "")
        assert "it is forgotten, but this broker does not say when it deletes records" in told.out.splitlines()[-1]


def test_a_ticket_that_is_on_its_way_is_named(there: Deployment, hedgerow: Hedgerow) -> None:
    said = hedgerow("forget", "gone", "-c", there.config, "--dry-run")
    assert said.code == 1
    assert "still on its way: classify, score, escalate, review may write more of it" in said.out


def test_a_file_is_looked_through_and_left_as_it_is(plain: Deployment, hedgerow: Hedgerow, tmp_path: Path) -> None:
    table, lines = tmp_path / "memory.csv", tmp_path / "answers.jsonl"
    table.write_text("ID,Text,Label\na,hello,refund\ngone,hello,refund\n")
    lines.write_text('{"ticket": {"ticket_id": "gone"}}\n{"ticket_id": "stays"}\n{"ticket_id": "gone"}\n')
    before = table.read_bytes(), lines.read_bytes()
    said = hedgerow("forget", "gone", "-c", plain.config, "--file", table, "--file", lines, "--json")
    assert said.code == 1
    notes = {place["place"]: (place["found"], place["note"]) for place in said.json["places"]}
    assert notes == {
        f"file {table}": (1, "delete line 3 yourself"),
        f"file {lines}": (2, "delete line 1, 3 yourself"),
    }
    assert (table.read_bytes(), lines.read_bytes()) == before


def test_what_is_nowhere_is_said_to_be(plain: Deployment, hedgerow: Hedgerow) -> None:
    said = hedgerow("forget", "nobody", "-c", plain.config)
    assert (said.code, said.out.splitlines()[-1]) == (0, "'nobody' is nowhere")


def test_topics_that_are_not_there_are_no_proof_that_nothing_is_left(plain: Deployment, hedgerow: Hedgerow) -> None:
    values = yaml.safe_load(plain.config.read_text())
    values["topics"]["prefix"] = f"mistyped-{plain.prefix}"
    plain.config.write_text(yaml.safe_dump(values))
    said = hedgerow("forget", "gone", "-c", plain.config)
    assert (said.code, said.out) == (2, "")
    [line] = said.err.splitlines()
    assert all(f"{plain.prefix}{topic}" in line for topic in HELD)


def test_a_store_that_is_elsewhere_is_no_proof_that_nothing_is_left(plain: Deployment, hedgerow: Hedgerow) -> None:
    plain.run(publish([routed("gone")], plain.connection, prefix=plain.prefix))
    (plain.folder / "reviews.db").unlink()
    said = hedgerow("forget", "gone", "-c", plain.config)
    assert (said.code, said.out) == (2, "")
    assert "reviews.db is not there: run the command where the agent review or the desk runs" in said.err
    assert not (plain.folder / "reviews.db").exists()
    assert None not in plain.latest("routed").values(), "nothing was done"


def test_a_run_that_the_store_ends_leaves_nothing_that_the_next_one_does_not_find(
    plain: Deployment, hedgerow: Hedgerow, tmp_path: Path
) -> None:
    plain.fill(tmp_path / "cache")
    plain.catch_up()
    values = yaml.safe_load(plain.config.read_text())
    values["review"]["url"] += "?timeout=0"
    plain.config.write_text(yaml.safe_dump(values))
    with closing(plain.store), plain.store.database.transaction() as reading:
        reading.exec_driver_sql("BEGIN")
        reading.exec_driver_sql("SELECT count(*) FROM hedgerow_reviews").scalar_one()
        said = hedgerow("forget", "gone", "-c", plain.config, "--json")
        assert (said.code, said.out) == (2, "")
        assert "holds what was forgotten" in said.err
        assert vectors(tmp_path) == 1, "the texts may be nowhere once the store has forgotten them"
    again = hedgerow("forget", "gone", "-c", plain.config, "--json")
    assert again.code == 1, "this broker does not say how long it keeps what"
    assert {place["place"] for place in again.json["places"]} == {f"topic {topic}" for topic in HELD}


@pytest.fixture
def plain(embedded_broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("HEDGEROW_CACHE", str(tmp_path / "cache"))
    deployment = Deployment(embedded_broker, tmp_path)
    with closing(deployment.opened()) as store:
        assert store.waiting(1) == []
    return deployment
