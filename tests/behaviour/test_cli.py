"""The command line as a person or a program meets it: help, one line where something is wrong, and the work itself."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from click import Command
from typer.testing import CliRunner

from schemas import TOPICS, Review, Routed, Verdict
from streams.cli.main import app
from streams.demo.run import local_connection
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings, load_settings
from streams.worker.doctor import examine
from tests.support.brokers import run_apart
from tests.support.commands import Hedgerow, Said
from tests.support.messages import alert, call, one_of_each, review, routed, scored, ticket, unscorable
from tests.unit.core.policy.test_fitted import FITTED

NOWHERE = "127.0.0.1:1"


def started(*arguments: object) -> subprocess.Popen[bytes]:
    """A command in a process of its own: one that must be seen to end."""
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # Tests that run in the background of a shell ignore it, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - nothing else happens in it
    )


@pytest.fixture
def config(embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path) -> Path:
    """Valid settings with topics of their own, which are not there yet."""
    tier = {"base_url": model_server.url}
    return write_settings(
        tmp_path,
        broker={"bootstrap": embedded_broker.bootstrap},
        labels=list(model_server.labels),
        tiers={"cheap": tier | {"model": "sandbox-cheap"}, "big": tier | {"model": "sandbox-big"}},
        messages={"write": 2},
    )


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """Valid settings of a broker and models that do not answer."""
    tier = {"base_url": f"http://{NOWHERE}/v1", "attempts": 1}
    return write_settings(
        tmp_path,
        broker={"bootstrap": NOWHERE},
        labels=["refund", "shipping", "account"],
        tiers={"cheap": tier | {"model": "gpt-4o-mini"}, "big": tier | {"model": "gpt-4o"}},
    )


def write_settings(folder: Path, **values: Any) -> Path:
    path = folder / "hedgerow.yaml"
    topics = {"prefix": f"cli-{secrets.token_hex(4)}.", "partitions": 2}
    store = {"url": f"sqlite:///{folder / 'reviews.db'}"}
    path.write_text(yaml.safe_dump({"topics": topics, "review": store} | values), encoding="utf-8")
    return path


def lines_of(path: Path, *rows: Any) -> Path:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows))
    return path


def commands(command: Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    # typer brings a copy of click's classes of its own.
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


EVERY = list(commands(typer.main.get_command(app)))


class TestHelp:
    def test_every_command_is_there(self) -> None:
        assert {path[0] for path in EVERY if path} >= {
            "demo", "worker", "produce", "consume", "review", "dead-letters", "sandbox", "topics", "doctor",
        }  # fmt: skip
        assert {path for path in EVERY if path[:1] == ("sandbox",)} >= {
            ("sandbox", "broker"),
            ("sandbox", "kafka"),
            ("sandbox", "model"),
        }

    @pytest.mark.parametrize("path", EVERY, ids=" ".join)
    def test_of_every_command(self, path: tuple[str, ...]) -> None:
        result = CliRunner().invoke(app, [*path, "--help"])
        assert result.exit_code == 0, result.output
        assert "Usage:" in result.output

    @pytest.mark.parametrize("path", EVERY, ids=" ".join)
    def test_every_option_and_argument_says_what_its_value_is(self, path: tuple[str, ...]) -> None:
        command = typer.main.get_command(app)
        for name in path:
            command = command.commands[name]  # type: ignore[attr-defined]
        for parameter in command.params:
            said = getattr(parameter, "help", None)
            assert said, f"{parameter.name} has no help text"
            assert said[0].isupper(), said
            assert len(said) <= 100, said
            assert not set(said) & set("\n\t"), said

    def test_a_command_that_does_not_exist(self, hedgerow: Hedgerow) -> None:
        said = hedgerow("nonsense")
        assert said.code == 2
        assert "nonsense" in said.err


class TestOneLine:
    """What is wrong is one line on standard error, without a traceback, and the exit status is 2."""

    def refused(self, said: Said) -> str:
        assert said.code == 2, said
        assert said.out == ""
        [line] = said.err.splitlines()
        assert line.startswith("hedgerow: ")
        return line

    @pytest.mark.parametrize(
        "arguments",
        [
            ("topics", "create"),
            ("topics", "list"),
            ("produce", "tickets.jsonl"),
            ("consume", "routed"),
            ("review", "list"),
            ("review", "resend"),
        ],
    )
    def test_settings_that_are_away_or_wrong(
        self, hedgerow: Hedgerow, tmp_path: Path, arguments: tuple[str, ...]
    ) -> None:
        assert "away.yaml: No such file" in self.refused(hedgerow(*arguments, "-c", tmp_path / "away.yaml"))
        bad = write_settings(tmp_path, lables=["refund"])
        assert "unknown key lables" in self.refused(hedgerow(*arguments, "-c", bad))

    @pytest.mark.parametrize(
        "arguments", [("topics", "create"), ("topics", "list"), ("produce", "tickets.jsonl"), ("consume", "routed")]
    )
    def test_a_broker_that_is_away(
        self, hedgerow: Hedgerow, nowhere: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
    ) -> None:
        monkeypatch.chdir(nowhere.parent)
        lines_of(nowhere.parent / "tickets.jsonl", {"ticket_id": "a", "text": "x"})
        assert f"no Kafka broker answers at {NOWHERE}" in self.refused(hedgerow(*arguments))

    def test_a_worker_with_bad_settings_does_not_start(self, hedgerow: Hedgerow, nowhere: Path) -> None:
        values = yaml.safe_load(nowhere.read_text(encoding="utf-8"))
        nowhere.write_text(yaml.safe_dump(values | {"worker": {"in_flite": 3}}), encoding="utf-8")
        assert "unknown key worker.in_flite" in self.refused(hedgerow("worker", "-c", nowhere))

    @pytest.mark.parametrize("command", [("worker", "--log-json"), ("probe", "run", "--json")])
    def test_what_keeps_a_long_running_command_from_its_work_is_a_line_of_its_log(
        self, nowhere: Path, command: tuple[str, ...]
    ) -> None:
        values = yaml.safe_load(nowhere.read_text(encoding="utf-8"))
        mine = {"name": "mine", **values["tiers"]["cheap"]}
        nowhere.write_text(yaml.safe_dump(values | {"endpoints": [mine]}), encoding="utf-8")
        # In its own process: a worker that has ended ends its process soon after, come what may.
        done = subprocess.run(
            [sys.executable, "-m", "streams.cli", *command, "-c", nowhere], capture_output=True, text=True, check=False
        )
        line = json.loads(done.stderr.splitlines()[-1])
        assert done.returncode == 2
        assert line["level"] == "error"
        assert line["event"].startswith("no Kafka broker answers at ")
        assert line["timestamp"].endswith("Z")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("worker", "--agents", "classify,nope"), "no agent 'nope'"),
            (("worker", "--log-level", "loud"), "--log-level loud"),
            (("demo", "--tickets", "away.jsonl"), "away.jsonl: No such file"),
            (("demo", "--policy", "away.yaml"), "away.yaml: No such file"),
            (("demo", "--calibration", "away.jsonl"), "away.jsonl: No such file"),
            (("demo", "--calibration", "x.jsonl", "--policy", "y.yaml"), "name one of them"),
            (("demo", "--broker", "nonsense"), "--broker nonsense"),
            (("demo", "--fault", "nope=1"), "unknown fault 'nope'"),
            (("sandbox", "kafka", "--nodes", "2"), "1 or 3 nodes"),
        ],
    )
    def test_options_that_cannot_be_meant(self, hedgerow: Hedgerow, arguments: tuple[str, ...], words: str) -> None:
        assert words in self.refused(hedgerow(*arguments))

    def test_a_topic_that_hedgerow_does_not_have(self, hedgerow: Hedgerow, nowhere: Path) -> None:
        assert "no topic 'rooted': there are tickets" in self.refused(hedgerow("consume", "rooted", "-c", nowhere))

    def test_a_file_that_is_away(self, hedgerow: Hedgerow, nowhere: Path) -> None:
        assert "away.jsonl: No such file" in self.refused(hedgerow("produce", "away.jsonl", "-c", nowhere))
        assert "directory" in self.refused(hedgerow("produce", nowhere.parent, "-c", nowhere))


class TestTopics:
    def test_create_list_and_create_again(self, hedgerow: Hedgerow, config: Path) -> None:
        prefix = load_settings(config).topics.prefix
        listed = hedgerow("topics", "list", "-c", config)
        assert listed.code == 0
        assert listed.out.count("not there") == len(TOPICS)
        created = hedgerow("topics", "create", "--json", "-c", config)
        assert created.rows == [{"created": [prefix + name for name in TOPICS]}]
        assert hedgerow("topics", "list", "--json", "-c", config).rows == [
            {prefix + name: topic.partitions or 2 for name, topic in TOPICS.items()}
        ]
        again = hedgerow("topics", "create", "-c", config)
        assert (again.code, again.out) == (0, "all topics are there\n")
        assert created.err == again.err == ""


class TestProduceAndConsume:
    def test_there_and_back(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        rows = [{"ticket_id": f"t-{number}", "text": "caf\u00e9 \u2028 x"} for number in range(7)]
        hedgerow("topics", "create", "-c", config)
        sent = hedgerow("produce", lines_of(tmp_path / "t.jsonl", *rows[:5], b""), "-c", config)
        assert (sent.code, sent.out, sent.err) == (0, "5 tickets sent\n", "")
        piped = hedgerow(
            "produce", "-", "--json", "-c", config, stdin=b"\n".join(json.dumps(r).encode() for r in rows[5:])
        )
        assert piped.rows == [{"sent": 2, "refused": 0, "reasons": {}, "unknown_labels": {}, "lines": []}]
        run_apart(unchecked(load_settings(config), b"no JSON \xff\x1b[31m"))
        got = hedgerow("consume", "tickets", "--json", "--max", 8, "--wait", 20, "-c", config)
        assert got.code == 0
        assert sorted(row["ticket_id"] for row in got.rows if "ticket_id" in row) == [row["ticket_id"] for row in rows]
        assert [row for row in got.rows if "ticket_id" not in row] == [{"not_json": "no JSON \ufffd\x1b[31m"}]
        plain = hedgerow("consume", "tickets", "--max", 8, "-c", config)
        assert len(plain.out.splitlines()) == 8
        assert "\x1b" not in plain.out

    def test_every_topic_has_readable_lines_and_json_as_it_was_sent(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        messages = one_of_each()
        run_apart(published(load_settings(config), *messages.values()))
        for topic, message in messages.items():
            said = hedgerow("consume", topic, "--max", 1, "--wait", 20, "-c", config)
            key = TOPICS[topic].key_of(message).decode()
            assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ  {key}  .+\n", said.out), said
            exact = hedgerow("consume", topic, "--json", "--max", 1, "--wait", 20, "-c", config)
            assert TOPICS[topic].message.decode(exact.out.encode()) == message

    def test_an_empty_topic_and_a_wait(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        assert hedgerow("consume", "alerts", "--wait", 0, "-c", config) == Said(0, "", "")

    def test_a_wait_begins_once_all_that_was_there_is_printed(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        run_apart(published(load_settings(config), *(routed(f"t-{number}") for number in range(5))))
        assert len(hedgerow("consume", "routed", "--wait", 0, "-c", config).out.splitlines()) == 5

    def test_a_budget_without_limits_is_json_too(self, hedgerow: Hedgerow, config: Path) -> None:
        assert "no limits are set" in hedgerow("budget", "-c", config).out
        assert hedgerow("budget", "--json", "-c", config).rows == [{"limits": [], "workers": [], "workers_live": 0}]

    def test_a_live_topic_is_read_for_a_given_time(self, hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        hedgerow("produce", lines_of(tmp_path / "t.jsonl", {"ticket_id": "t", "text": "x"}), "-c", config)
        said = hedgerow("consume", "tickets", "--for", 1, "--wait", 100, "--json", "-c", config)
        assert (said.code, [row["ticket_id"] for row in said.rows]) == (0, ["t"])

    def test_each_result_once_for_whoever_deduplicates(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        result = Routed(result_id="r", ticket_id="t", label="account", decided_by="human", confidence=None, entropy=None,
                        policy_id="p")  # fmt: skip
        run_apart(published(load_settings(config), result, result, result.model_copy(update={"result_id": "other"})))
        assert len(hedgerow("consume", "routed", "--max", 3, "-c", config).out.splitlines()) == 3
        once = hedgerow("consume", "routed", "--unique", "--json", "--wait", 2, "-c", config)
        assert sorted(row["result_id"] for row in once.rows) == ["other", "r"]

    def test_an_alert_that_stands_on_the_topic_twice_is_printed_once(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        run_apart(published(load_settings(config), alert(), alert(alert_id="alert-2"), alert()))
        said = hedgerow("consume", "alerts", "--unique", "--json", "-c", config)
        assert [row["alert_id"] for row in said.rows] == ["alert-1", "alert-2"]

    @pytest.mark.parametrize("last", ["person", "model"])
    def test_of_a_reviewers_decision_and_a_models_answer_the_decision_is_printed(
        self, hedgerow: Hedgerow, config: Path, last: str
    ) -> None:
        hedgerow("topics", "create", "-c", config)
        model, person = routed("t", label="account"), routed("t", label="refund", decided_by="human", decision=1)
        sent = [model, model, person] if last == "person" else [model, person, model]
        run_apart(published(load_settings(config), *sent, routed("other")))
        said = hedgerow("consume", "routed", "--unique", "--json", "-c", config)
        assert (said.code, {row["ticket_id"]: row["label"] for row in said.rows}) == (
            0,
            {"t": "refund", "other": "refund"},
        )
        assert len(said.rows) == 2

    def test_a_changed_winner_is_printed_again_if_a_topic_is_followed(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        first, later = routed("t", label="account"), routed("t", label="refund", revision=2)
        settings = load_settings(config)
        run_apart(published(settings, first))

        async def follow() -> None:
            command = [sys.executable, "-m", "streams.cli", "consume", "routed", "--unique", "--follow", "--json"]
            process = await asyncio.create_subprocess_exec(
                *command, "--max", "3", "-c", str(config), stdout=asyncio.subprocess.PIPE
            )
            assert process.stdout is not None
            rows = [json.loads(await process.stdout.readline())]
            # Neither the same again nor what counts less changes anything.
            await published(settings, first, later, routed("t", label="billing", revision=1), first)
            await published(settings, routed("t", label="shipping", revision=3))
            rows += [json.loads(line) for line in (await process.communicate())[0].splitlines()]
            assert process.returncode == 0
            assert [row["label"] for row in rows] == ["account", "refund", "shipping"]

        run_apart(follow())

    def test_follow_alone_is_refused(self, hedgerow: Hedgerow, config: Path) -> None:
        said = hedgerow("consume", "routed", "--follow", "-c", config)
        assert said.code == 2
        assert "--follow goes with --unique" in said.err


async def unchecked(settings: Settings, *rows: bytes) -> None:
    from streams.kafka.produce import produce

    await produce(rows, settings.broker.connection, prefix=settings.topics.prefix)


async def published(settings: Settings, *messages: Any) -> None:
    from streams.kafka.send import publish

    await publish(messages, settings.broker.connection, prefix=settings.topics.prefix)


class TestReview:
    TRICKY = "[/b] [red]Where\x1b[2J is it?[/red]\nSecond line"

    def fill(self, config: Path) -> list[Review]:
        settings = load_settings(config)
        doubtful = (call(signal=scored(entropy=1.4)), call("big", unscorable(label="refund")))
        reviews = [
            review("low", uncertainty=0.9),
            review("high", uncertainty=1.7, ticket=ticket("high", self.TRICKY), calls=doubtful, reasons=("big:[x]",)),
        ]
        store = ReviewStore(settings.review.url)
        store.add_all(reviews)
        store.close()
        return reviews

    def test_reviews_that_wait_for_what_passes_are_offered_for_a_re_run(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        assert "rerun" not in hedgerow("review", "list", "-c", config).out
        unanswered = ("cheap:no_signal:no_answer", "big:no_signal:no_answer")
        store = ReviewStore(load_settings(config).review.url)
        store.add_all(review(f"silent-{number}", reasons=unanswered) for number in range(2))
        store.add_all([review("held-back", reasons=("cheap:straight_to_big", "big:no_signal:breaker_open"))])
        store.add_all([review("unpaid", reasons=("cheap:no_signal:over_budget",))])
        store.close()
        assert hedgerow("review", "list", "-c", config).out.splitlines()[-3:] == [
            "2 reviews wait because a model did not answer: once that is over, "
            "hedgerow rerun --from reviews --reason no_answer",
            "1 review waits because the money was spent: once that is over, "
            "hedgerow rerun --from reviews --reason over_budget",
            "1 review waits because a breaker was open: once that is over, "
            "hedgerow rerun --from reviews --reason breaker_open",
        ]

    def test_list_and_show(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        listed = hedgerow("review", "list", "--json", "-c", config)
        assert [row["ticket_id"] for row in listed.rows] == ["high", "low"]
        assert listed.rows[0]["text"] == self.TRICKY
        assert len(hedgerow("review", "list", "--json", "--max", 1, "-c", config).rows) == 1
        table = hedgerow("review", "list", "-c", config)
        assert table.code == 0
        assert "2 waiting, 0 decided" in table.out
        shown = hedgerow("review", "show", "high", "-c", config)
        assert "[red]Where\ufffd[2J is it?[/red]" in shown.out
        assert "big:[x]" in shown.out
        assert "no signal, logprobs_null, it said refund" in shown.out
        assert "\x1b" not in table.out + shown.out
        by_review_id = hedgerow("review", "show", Review.id_for("low"), "--json", "-c", config)
        assert by_review_id.rows[0]["review"]["ticket"]["ticket_id"] == "low"

    def test_decide(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        label = load_settings(config).labels[0]
        hedgerow("topics", "create", "-c", config)
        decided = hedgerow("review", "decide", "high", label, "--by", "ada", "--note", "clear", "--json", "-c", config)
        assert decided.rows == [{"ticket_id": "high", "label": label, "sent": 1}]
        again = hedgerow("review", "decide", "high", label, "--by", "ada", "--json", "-c", config)
        assert again.rows == [{"ticket_id": "high", "label": label, "sent": 0}]
        [verdict] = hedgerow("consume", "verdicts", "--json", "--max", 1, "-c", config).rows
        assert Verdict.model_validate(verdict).note == "clear"
        [routed] = hedgerow("consume", "routed", "--json", "--max", 1, "-c", config).rows
        assert Routed.model_validate(routed).decided_by == "human"
        assert routed["result_id"] == Routed.id_for("high")
        assert "decided: " + label + " by ada" in hedgerow("review", "show", "high", "-c", config).out
        assert [row["ticket_id"] for row in hedgerow("review", "list", "--json", "-c", config).rows] == ["low"]

    async def test_a_result_of_a_model_is_corrected_though_it_was_in_no_review(
        self, hedgerow: Hedgerow, config: Path
    ) -> None:
        self.fill(config)
        settings = load_settings(config)
        first, second = settings.labels[:2]
        await asyncio.to_thread(hedgerow, "topics", "create", "-c", config)

        def correct(ticket_id: str, label: str) -> Said:
            return hedgerow("review", "correct", ticket_id, label, "--by", "bob", "--json", "-c", config)

        assert "was not routed" in (await asyncio.to_thread(correct, "sure", second)).err
        await published(
            settings, ticket("sure", "a text"), routed("sure", label=first), routed("high", label=first, run=7)
        )
        assert (await asyncio.to_thread(correct, "sure", second)).rows == [
            {"ticket_id": "sure", "label": second, "sent": 1}
        ]
        assert (await asyncio.to_thread(correct, "sure", first)).rows[0]["sent"] == 1
        # A later run has routed it; its text is not on the topic, and the review that waited is of an earlier run.
        assert "is no longer on the topic tickets" in (await asyncio.to_thread(correct, "high", second)).err
        await published(settings, ticket("high", "a text"))
        assert (await asyncio.to_thread(correct, "high", second)).code == 0

        def consumed(topic: str) -> list[dict[str, Any]]:
            return hedgerow("consume", topic, "--unique", "--json", "-c", config).rows

        results = {row["ticket_id"]: row for row in await asyncio.to_thread(consumed, "routed")}
        assert {name: (row["label"], row["reviewer"], row["decision"]) for name, row in results.items()} == {
            "sure": (first, "bob", 2),
            "high": (second, "bob", 1),
        }
        assert all(row["corrected"] for row in results.values())
        verdicts = await asyncio.to_thread(consumed, "verdicts")
        assert {row["purpose"] for row in verdicts} == {"correction"}
        waiting = await asyncio.to_thread(hedgerow, "review", "list", "--json", "-c", config)
        assert [row["ticket_id"] for row in waiting.rows] == ["low"]

    def test_a_decision_is_corrected(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        first, second = load_settings(config).labels[:2]
        hedgerow("topics", "create", "-c", config)
        assert "is not decided yet" in hedgerow("review", "correct", "high", first, "-c", config).err
        hedgerow("review", "decide", "high", first, "--by", "ada", "-c", config)
        assert hedgerow("review", "correct", "high", second, "--by", "bob", "-c", config).out == f"high: {second}\n"
        [result] = hedgerow("consume", "routed", "--unique", "--json", "-c", config).rows
        assert (result["label"], result["reviewer"], result["decision"], result["corrected"]) == (
            second,
            "bob",
            2,
            True,
        )
        verdicts = hedgerow("consume", "verdicts", "--unique", "--json", "-c", config).rows
        assert [(row["label"], row["decision"]) for row in verdicts] == [(first, 1), (second, 2)]
        assert f"decided: {second} by bob" in hedgerow("review", "show", "high", "-c", config).out

    def test_no_label_fits(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        hedgerow("topics", "create", "-c", config)
        assert hedgerow("review", "decide", "high", "--none", "--by", "ada", "-c", config).out == (
            "high: none of the labels\n"
        )
        result = Routed.model_validate(hedgerow("consume", "routed", "--json", "--max", 1, "-c", config).rows[0])
        assert (result.label, result.reasons[-1], result.reviewer) == (None, "none_of_these", "ada")
        assert "none of the labels  by human" in hedgerow("consume", "routed", "--max", 1, "-c", config).out
        assert "1 waiting, 1 decided (1 as none of the labels)" in hedgerow("review", "list", "-c", config).out
        assert "decided: none of the labels by ada" in hedgerow("review", "show", "high", "-c", config).out
        for arguments in (("low",), ("low", "account", "--none")):
            said = hedgerow("review", "decide", *arguments, "-c", config)
            assert said.code == 2
            assert "give a label, or --none if none fits" in said.err

    def test_what_cannot_be_decided_is_one_line(self, hedgerow: Hedgerow, config: Path) -> None:
        self.fill(config)
        first, second = load_settings(config).labels[:2]
        hedgerow("topics", "create", "-c", config)
        hedgerow("review", "decide", "low", first, "--by", "ada", "-c", config)
        for arguments, words in (
            (
                ("low", second, "--by", "bob"),
                f"'ada' has already decided ticket 'low' as {first!r}: hedgerow review correct",
            ),
            (("high", "nonsense", "--by", "bob"), "no label 'nonsense'"),
            (("nobody", first), "no review of 'nobody'"),
            (("high", first, "--by", "x" * 300), "decided_by"),
            (("high", first, "--note", "x" * 5000), "note"),
        ):
            said = hedgerow("review", "decide", *arguments, "-c", config)
            assert (said.code, said.out) == (2, "")
            assert words in said.err
            assert len(said.err.splitlines()) == 1

    def test_show_says_where_a_ticket_went_that_was_never_in_review(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        sent = routed("t-1", label="account", confidence=0.93)
        run_apart(published(load_settings(config), sent, routed("t-2")))
        said = hedgerow("review", "show", "t-1", "-c", config)
        assert said.code == 0, said
        first, call = said.out.splitlines()
        assert re.fullmatch(
            r"t-1: .*routed as account by the cheap model at \d{4}-\d\d-\d\d [\d:]{8}Z, confidence 0.93", first
        )
        assert call.startswith("cheap (cheap-model-2026-08-01): refund")
        [row] = hedgerow("review", "show", "t-1", "--json", "-c", config).rows
        assert Routed.model_validate(row["routed"]) == sent
        unknown = hedgerow("review", "show", "t-3", "-c", config)
        assert (unknown.code, unknown.out) == (2, "")
        assert "no review of 't-3', and it was not routed" in unknown.err

    def test_show_of_an_unknown_ticket_without_a_broker_says_that_routed_cannot_be_read(
        self, hedgerow: Hedgerow, nowhere: Path
    ) -> None:
        said = hedgerow("review", "show", "t-1", "-c", nowhere)
        assert (said.code, said.out) == (2, "")
        [line] = said.err.splitlines()
        assert "no review of 't-1', and the topic routed cannot be read: no Kafka broker answers" in line

    def test_a_decision_outlives_a_broker_that_is_away(self, hedgerow: Hedgerow, config: Path, nowhere: Path) -> None:
        """Both fixtures write one file: what is away first comes back under the same name."""
        there = yaml.safe_load(nowhere.read_text(encoding="utf-8"))
        self.fill(nowhere)
        said = hedgerow("review", "decide", "high", "refund", "--by", "ada", "-c", nowhere)
        assert said.code == 2
        assert "no Kafka broker answers" in said.err
        assert "the decision is stored" in said.err
        assert len(said.err.splitlines()) == 1
        nowhere.write_text(yaml.safe_dump(there | {"broker": {"bootstrap": self.bootstrap}}), encoding="utf-8")
        hedgerow("topics", "create", "-c", nowhere)
        assert hedgerow("review", "resend", "-c", nowhere).out == "1 decision sent\n"
        assert hedgerow("review", "resend", "-c", nowhere).out == "0 decisions sent\n"
        assert len(hedgerow("consume", "routed", "--max", 1, "-c", nowhere).out.splitlines()) == 1

    @pytest.fixture(autouse=True)
    def _bootstrap(self, embedded_broker: EmbeddedBroker) -> None:
        self.bootstrap = embedded_broker.bootstrap


class TestDoctor:
    NAMES = (
        "settings", "messages", "compression", "broker", "policy", "prices", "topics", "alerts", "cheap model", "cheap contract", "big model",
        "big contract", "review store", "topic settings",
    )  # fmt: skip

    def test_all_well(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        said = hedgerow("doctor", "--json", "-c", config)
        assert [(row["name"], row["ok"]) for row in said.rows] == [(name, True) for name in self.NAMES], said
        assert (said.code, said.err) == (0, "")

    async def test_each_thing_that_is_not_well_says_what_to_do(self, config: Path, model_server: ModelServer) -> None:
        await model_server.set_faults(["cheap:logprobs_null=1"])
        try:
            found = {finding.name: finding async for finding in examine(config)}
        finally:
            await model_server.set_faults([])
        assert [name for name, finding in found.items() if not finding.ok] == ["topics", "alerts", "cheap model"]
        assert "hedgerow topics create" in found["topics"].text
        assert "logprobs_null" in found["cheap model"].text

    def test_a_model_without_a_price_is_a_warning(self, hedgerow: Hedgerow, config: Path) -> None:
        values = yaml.safe_load(config.read_text(encoding="utf-8"))
        mine = {"name": "mine", "base_url": values["tiers"]["big"]["base_url"], "model": "my-own"}
        config.write_text(yaml.safe_dump(values | {"endpoints": [mine]}), encoding="utf-8")
        found = {row["name"]: row for row in hedgerow("doctor", "--json", "-c", config).rows}["prices"]
        assert not found["ok"]
        assert "none of endpoints.mine (my-own): its costs are null" in found["text"]

    def test_nothing_answers(self, hedgerow: Hedgerow, nowhere: Path) -> None:
        said = hedgerow("doctor", "-c", nowhere)
        assert said.code == 1
        starts = [line.split()[0] for line in said.out.splitlines()]
        assert starts == ["ok", "ok", "ok", "FAIL", "ok", "ok", "FAIL", "ok", "FAIL", "ok", "ok"]
        assert said.err == ""

    @pytest.mark.parametrize(
        ("change", "check", "words"),
        [
            ({"labels": ["account", "refund", "parcel"]}, "policy", "fitted for other labels"),
            ({"delivery": "exactly_once"}, "delivery", "needs transactions"),
        ],
        ids=["policy", "delivery"],
    )
    def test_what_a_worker_refuses_the_doctor_finds_in_the_same_words(
        self, hedgerow: Hedgerow, config: Path, change: dict[str, Any], check: str, words: str
    ) -> None:
        hedgerow("topics", "create", "-c", config)
        settings = load_settings(config)
        tiers = {
            name: {"model_asked": tier.model, "model_returned": None, "prompt_hash": settings.prompt.hash}
            for name, tier in (("cheap", settings.tiers.cheap), ("big", settings.tiers.big))
        }
        fitted = FITTED.model_dump(mode="json") | {"labels": list(settings.labels)} | tiers
        policy = {"fitted": fitted}
        values = yaml.safe_load(config.read_text(encoding="utf-8")) | {"policy": policy} | change
        config.write_text(yaml.safe_dump(values), encoding="utf-8")
        rows = {row["name"]: row for row in hedgerow("doctor", "--json", "-c", config).rows}
        assert [name for name, row in rows.items() if not row["ok"]] == [check]
        assert words in rows[check]["text"]
        # A process apart: what a worker starts with ends its process a while after a refusal.
        command = [sys.executable, "-m", "streams.cli", "worker", "-c", str(config)]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert refused.returncode == 2
        assert rows[check]["text"] in refused.stderr

    def test_without_settings_there_is_one_finding(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        said = hedgerow("doctor", "--json", "-c", tmp_path / "away.yaml")
        assert said.code == 1
        [row] = said.rows
        assert row["ok"] is False
        assert "away.yaml" in row["text"]

    def test_a_compression_that_cannot_be_read(
        self, hedgerow: Hedgerow, nowhere: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("aiokafka.codec.cramjam", None)
        said = hedgerow("doctor", "--json", "-c", nowhere)
        [row] = [row for row in said.rows if row["name"] == "compression"]
        assert (said.code, row["ok"]) == (1, False)
        assert row["text"].startswith("snappy, lz4, zstd cannot be read")
        assert "pip install cramjam" in row["text"]

    async def test_too_few_partitions(self, embedded_broker: EmbeddedBroker, config: Path) -> None:
        from streams.kafka.topics import create_topics

        settings = load_settings(config)
        await create_topics(
            local_connection(embedded_broker), prefix=settings.topics.prefix, partitions=1, replication=1
        )
        [finding] = [finding async for finding in examine(config) if finding.name == "topics"]
        assert not finding.ok
        assert "fewer than the 2 partitions" in finding.text


class TestWorker:
    def test_it_says_that_it_is_ready_with_its_partitions_and_addresses(self, hedgerow: Hedgerow, config: Path) -> None:
        hedgerow("topics", "create", "-c", config)
        config.write_text(config.read_text(encoding="utf-8") + "metrics: {port: 0}\n", encoding="utf-8")
        process = started("worker", "--agents", "score,review", "--log-json", "-c", config)
        try:
            assert process.stderr is not None
            before = []
            for line in map(json.loads, process.stderr):
                if line["event"] == "worker ready":
                    ready = line
                    break
                before.append(line["event"])
        finally:
            process.terminate()
            out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (0, b"")
        assert before == ["metrics served"]
        assert ready["agents"] == "score, review"
        assert ready["partitions"] == "0-1 of every agent"
        assert ready["metrics"].endswith("/metrics")
        assert ready["health"] == ready["metrics"].replace("/metrics", "/health")


class TestSignals:
    def test_a_reader_that_goes_away_is_no_error_of_ours(
        self, hedgerow: Hedgerow, config: Path, tmp_path: Path
    ) -> None:
        hedgerow("topics", "create", "-c", config)
        rows = [{"ticket_id": str(number), "text": "x" * 10_000} for number in range(100)]
        hedgerow("produce", lines_of(tmp_path / "t.jsonl", *rows), "-c", config)
        process = started("consume", "tickets", "-c", config)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        _, err = process.communicate(timeout=30)
        assert err == b""

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)])
    def test_a_consumer_without_an_end_ends_on_demand(
        self, hedgerow: Hedgerow, config: Path, tmp_path: Path, number: int, code: int
    ) -> None:
        hedgerow("topics", "create", "-c", config)
        hedgerow("produce", lines_of(tmp_path / "t.jsonl", {"ticket_id": "a", "text": "x"}), "-c", config)
        process = started("consume", "tickets", "-c", config)
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (code, b"")

    def test_the_model_server_ends_with_the_command_that_started_it(self) -> None:
        process = started("sandbox", "model", "--port", 0)
        assert process.stdout is not None
        assert b"url" in process.stdout.readline()
        process.terminate()
        # The pipes end when the last process that holds them has ended.
        _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, b"")


def test_the_version_is_that_of_the_package(hedgerow: Hedgerow) -> None:
    assert hedgerow("--version") == Said(0, f"hedgerow {version('hedgerow')}\n", "")


def test_no_command_group_is_called_without_help(hedgerow: Hedgerow) -> None:
    for path in [path for path in EVERY if path in {(), ("review",), ("sandbox",), ("topics",)}]:
        assert "Usage" in (said := hedgerow(*path)).out + said.err
