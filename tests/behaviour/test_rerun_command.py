"""Tickets go through again: which ones, with which text, and each once in a run, on both brokers."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas import REVISION_HEADER, RUN_HEADER, Classification, Review, Routed, Ticket, revision_of
from streams.cli.rerun import send_through_again
from streams.cli.rerun_sources import Source, Wanted
from streams.delivery.stage import Delivery
from streams.kafka.send import publish
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import Settings
from tests.support.commands import Hedgerow, Said
from tests.support.letters import LetterBox
from tests.support.messages import call, review, routed, ticket
from tests.support.pipelines import pipeline, raw_producer


class Desk:
    """A deployment without workers, and the command under test."""

    def __init__(self, broker: Broker, folder: Path, hedgerow: Hedgerow) -> None:
        self.box = LetterBox(broker, folder)
        self.store = ReviewStore(f"sqlite:///{folder / 'reviews.db'}")
        self._hedgerow = hedgerow

    def produce(
        self, *rows: tuple[str, str], partition: int = 1, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        """Send tickets (id, text) to one partition."""

        async def send() -> None:
            async with AIOKafkaProducer(bootstrap_servers=self.box.broker.bootstrap) as producer:
                for ticket_id, text in rows:
                    value = ticket(ticket_id, text).encode()
                    await producer.send_and_wait(
                        f"{self.box.prefix}tickets", value, ticket_id.encode(), partition, headers=headers
                    )

        self.box.run(send())

    def review(self, ticket_id: str, text: str, *reasons: str, **changes: Any) -> None:
        self.store.add(review(ticket_id, ticket=ticket(ticket_id, text), reasons=reasons, **changes))

    def rerun(self, *arguments: object) -> Said:
        return self._hedgerow("rerun", *arguments, "-c", self.box.config, "--json")

    def sent(self, run: int) -> dict[str, str]:
        """Return the texts that were sent with this run, by ticket id; none may be there twice."""
        found: dict[str, str] = {}
        for record in self.box.records("tickets"):
            if (RUN_HEADER, str(run).encode()) in record.headers:
                row = ticket().decode(record.value)
                assert row.ticket_id not in found
                found[row.ticket_id] = row.text
        return found


@pytest.fixture
def desk(broker: Broker, tmp_path: Path, hedgerow: Hedgerow) -> Desk:
    return Desk(broker, tmp_path, hedgerow)


@pytest.fixture
def plain(embedded_broker: EmbeddedBroker, tmp_path: Path, hedgerow: Hedgerow) -> Desk:
    return Desk(embedded_broker, tmp_path, hedgerow)


def test_waiting_reviews_go_through_again_with_their_texts_on_the_topic(desk: Desk) -> None:
    desk.produce(("a", "one"), headers=[("trace", b"7"), (RUN_HEADER, b"5")])
    desk.produce(("b", "two"))
    for ticket_id, text, reason in (("a", "one", "big:policy_stale"), ("b", "two", "cheap:low_confidence")):
        desk.review(ticket_id, text, reason)
    said = desk.rerun("--from", "reviews", "--reason", "policy_stale")
    assert said.code == 0, said.err
    run = said.json["run"]
    assert said.json == {"sent": 1, "not_found": 0, "skipped": 0, "to_send": 1, "reasons": {}, "run": run}
    assert f"--run {run}" in said.err
    assert desk.sent(run) == {"a": "one"}
    [record] = [each for each in desk.box.records("tickets") if (RUN_HEADER, str(run).encode()) in each.headers]
    assert (record.key, record.partition, dict(record.headers)["trace"]) == (b"a", 1, b"7")


def test_a_ticket_from_the_middle_of_a_batch_goes_through_again(plain: Desk) -> None:
    async def one_batch() -> None:
        async with AIOKafkaProducer(bootstrap_servers=plain.box.broker.bootstrap, linger_ms=500) as producer:
            for number in range(5):
                value, key = ticket(f"m-{number}").encode(), f"m-{number}".encode()
                await producer.send(f"{plain.box.prefix}tickets", value, key, 1)
            await producer.flush()

    plain.box.run(one_batch())
    plain.review("m-3", "Where is my money?", "cheap:low_confidence")
    said = plain.rerun("--from", "reviews", "--ticket", "m-3")
    assert (said.code, said.rows[0]["to_send"], said.rows[0]["sent"]) == (0, 1, 1)


@pytest.mark.parametrize("source", list(Source))
def test_a_ticket_that_the_source_does_not_have_is_not_found(plain: Desk, source: Source) -> None:
    assert plain.rerun("--from", source, "--ticket", "nobody", "--dry-run").rows[0]["not_found"] == 1


def test_what_was_decided_or_replaced_is_skipped_and_what_is_gone_comes_from_the_review(desk: Desk) -> None:
    desk.produce(("decided", "x"), ("replaced", "old"), ("replaced", "new"), ("plain", "y"))
    for ticket_id, text in (("decided", "x"), ("replaced", "old"), ("plain", "y"), ("gone", "only here")):
        desk.review(ticket_id, text, "big:high_entropy")
    item = desk.store.get("decided")
    assert item is not None
    desk.store.decide(item.review.review_id, "refund", "ada", "", 1)

    dry = desk.rerun("--from", "reviews", "--dry-run").json
    assert (dry["sent"], dry["to_send"], dry["reasons"]) == (0, 2, {"decided": 1, "superseded": 1})
    assert desk.sent(dry["run"]) == {}
    said = desk.rerun("--from", "reviews").json
    assert (said["sent"], said["not_found"], said["skipped"]) == (2, 0, 2)
    assert desk.sent(said["run"]) == {"plain": "y", "gone": "only here"}
    again = desk.rerun("--from", "reviews", "--ticket", "decided", "--include-decided").json
    assert desk.sent(again["run"]) == {"decided": "x"}


def test_an_older_text_that_was_sent_again_is_not_the_latest(plain: Desk) -> None:
    plain.produce(("a", "old"))
    [old] = plain.box.records("tickets")
    plain.produce(("a", "new"))
    revision = str(revision_of(old.timestamp, old.offset)).encode()
    plain.produce(("a", "old"), headers=[(RUN_HEADER, b"5"), (REVISION_HEADER, revision)])
    plain.review("a", "new", "big:high_entropy")
    assert plain.sent(plain.rerun("--from", "reviews").json["run"]) == {"a": "new"}


@pytest.mark.parametrize("go_on", [["--run", "77"], []])
def test_after_a_run_that_was_killed_each_ticket_is_sent_that_was_not(desk: Desk, go_on: list[str]) -> None:
    names = [f"t-{number}" for number in range(6)]
    desk.produce(*((name, name) for name in names))
    for name in names:
        desk.review(name, name, "big:high_entropy")
    command = [sys.executable, "-m", "tests.chaos.killed_command", "3", "rerun", "--from", "reviews", "--run", "77"]
    ended = subprocess.run([*command, "-c", desk.box.config], check=False, capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr
    before = desk.sent(77)
    assert len(before) < len(names)
    assert desk.store.counts().waiting == 0
    assert {item.review.ticket_id for item in desk.store.unfinished()} == set(names)
    said = desk.rerun("--from", "reviews", *go_on).json
    assert desk.store.unfinished() == []
    assert said["sent"] == len(names) - len(before)
    assert said["reasons"] == ({"already_sent": len(before)} if before and go_on else {})
    assert sorted({**before, **desk.sent(said["run"])}) == names


def test_dead_letters_are_closed_by_the_run_that_sends_their_tickets(desk: Desk, hedgerow: Hedgerow) -> None:
    stuck = Classification(ticket=ticket("a", "one"), call=call())
    desk.produce(("a", "one"), ("b", "old"))
    box = desk.box
    open_letter = box.put(stuck.encode(), b"a", topic="classifications", reason="retries_exhausted")
    replaced = box.put(ticket("b", "new").encode(), b"b", reason="retries_exhausted")
    invalid = box.put(b"[", b"c")
    closed = box.put(ticket("d", "x").encode(), b"d")
    hedgerow("dead-letters", "discard", closed, "-c", box.config)

    dry = desk.rerun("--from", "dead-letters", "--dry-run").json
    assert (dry["to_send"], dry["reasons"]) == (2, {"closed": 1, "no_ticket": 1})
    said = desk.rerun("--from", "dead-letters", "--by", "ada").json
    assert (said["sent"], said["not_found"], said["skipped"]) == (2, 0, 2)
    assert desk.sent(said["run"]) == {"a": "one", "b": "new"}
    rows = hedgerow("dead-letters", "list", "--closed", "--json", "-c", box.config).rows
    assert {row["letter"]: row["state"] for row in rows} == {
        open_letter: "rerun",
        replaced: "rerun",
        invalid: "open",
        closed: "discarded",
    }
    assert desk.rerun("--from", "dead-letters").json["sent"] == 0


def test_results_go_through_again_by_their_reasons(desk: Desk) -> None:
    desk.produce(("a", "one"), ("b", "two"), ("c", "three"))
    results = [
        routed("a", reasons=("cheap:policy_stale",)),
        routed("b", reasons=("cheap:policy_stale",), decided_by="human", confidence=None, entropy=None),
        routed("c", reasons=()),
        routed("gone", reasons=("big:policy_stale",)),
    ]
    desk.box.run(publish(results, desk.box.connection, prefix=desk.box.prefix))
    desk.review("c", "three", "big:high_entropy")
    said = desk.rerun("--from", "routed", "--reason", "policy_stale")
    assert (said.json["sent"], said.json["not_found"], said.json["reasons"]) == (1, 1, {"decided": 1})
    assert "not found" not in said.out
    assert desk.sent(said.json["run"]) == {"a": "one"}
    assert desk.store.counts().waiting == 1
    assert desk.sent(desk.rerun("--from", "routed", "--ticket", "c").json["run"]) == {"c": "three"}
    assert desk.store.counts().waiting == 0, "whatever the source, the ticket's review is closed"


def test_all_results_at_once_are_refused_and_people_read_plain_lines(plain: Desk, hedgerow: Hedgerow) -> None:
    refused = plain.rerun("--from", "routed")
    assert refused.code == 2
    assert "--from routed needs --reason, --ticket or --since" in refused.err
    plain.review("gone", "text", "x")
    plain.review("decided", "text", "x")
    item = plain.store.get("decided")
    assert item is not None
    plain.store.decide(item.review.review_id, "refund", "ada", "", 1)
    said = hedgerow("rerun", "--from", "reviews", "--run", "9", "-c", plain.box.config)
    assert said.out.splitlines() == ["1 ticket sent in run 9", "1 skipped: decided"]
    results = [routed("nowhere")]
    plain.box.run(publish(results, plain.box.connection, prefix=plain.box.prefix))
    said = hedgerow("rerun", "--from", "routed", "--ticket", "nowhere", "--dry-run", "-c", plain.box.config)
    assert said.out == "0 tickets would be sent\n"
    assert said.err == "not found: nowhere\n"


@pytest.mark.parametrize("delivery", ["at_least_once", pytest.param("exactly_once", marks=pytest.mark.kafka)])
async def test_a_review_that_a_run_routes_is_closed_and_one_that_it_doubts_waits_again(
    delivery: Delivery, request: pytest.FixtureRequest, model_server: ModelServer, tmp_path: Path
) -> None:
    """In one worker, which has finished the tickets before."""
    broker = request.getfixturevalue("kafka_broker" if delivery == "exactly_once" else "embedded_broker")
    rows = [Ticket.decode(line) for line in DEMO.read_bytes().splitlines()[:12]]
    ids = {row.ticket_id for row in rows}
    change = partial(Settings.model_copy, update={"delivery": delivery})
    try:
        async with (
            pipeline(broker, model_server, tmp_path, change=change) as running,
            raw_producer(running.settings) as producer,
        ):
            await model_server.set_faults(["logprobs_null=1"])
            for row in rows:
                await running.send(row.ticket_id, row.encode(), row.ticket_id.encode(), producer)
            await running.until(lambda: running.results.keys() == ids)
            store = ReviewStore(running.settings.review.url)
            await running.until(lambda: store.counts().waiting == len(ids))
            await model_server.set_faults([])

            run = 1_800_000_000_000
            done = await send_through_again(Source.REVIEWS, Wanted(), running.settings, "ada", run, dry_run=False)
            assert done[:3] == (len(ids), len(ids), [])

            def ended() -> dict[str, Routed | Review]:
                return {name: end for name, ends in running.results.items() for end in ends if end.run == run}

            await running.until(lambda: ended().keys() == ids)
            doubted = {name for name, end in ended().items() if isinstance(end, Review)}
            assert len(doubted) < len(ids)
            await running.until(lambda: store.counts().waiting == len(doubted))
            assert {item.review.ticket_id: item.review.run for item in store.waiting(100)} == dict.fromkeys(
                doubted, run
            )
            again = {item.review.ticket_id: item.again for item in store.each() if item.again is not None}
            assert again.keys() == ids, "the reviews of before; those of the run wait beside them"
            assert {(each.run, each.by) for each in again.values()} == {(run, "ada")}
            assert all(len(ends) == 2 for ends in running.results.values())
    finally:
        await model_server.set_faults([])
