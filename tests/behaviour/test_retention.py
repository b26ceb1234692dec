"""topics.retention_days: topics create has the broker keep topics for so long, and doctor says if it does not."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from streams.errors import StopWorker
from streams.kafka.keeping import topic_configs, topic_settings
from streams.kafka.retention import alter, set_otherwise
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.sandbox.brokers.broker import Broker
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.brokers.kafka import LocalKafka
from streams.settings import check_settings
from tests.support.brokers import run_apart
from tests.support.commands import Hedgerow
from tests.support.desks import desk_settings, written
from tests.support.letters import LetterBox
from tests.support.messages import example

DAY_MS = 24 * 3600 * 1000
DAYS = {"tickets": 30, "routed": 400, "probes": 0.5}
KEPT = {
    "tickets": {"retention.ms": str(30 * DAY_MS), "max.message.bytes": str(2 << 20)},
    "routed": {
        "retention.ms": str(400 * DAY_MS),
        "cleanup.policy": "compact,delete",
        "max.compaction.lag.ms": str(DAY_MS),
    },
    "probes": {"retention.ms": str(DAY_MS // 2)},
}


def config_of(broker: Broker, folder: Path, prefix: str, days: Mapping[str, float] = DAYS) -> Path:
    config = written(folder, desk_settings(folder, bootstrap=broker.bootstrap, prefix=prefix))
    values = yaml.safe_load(config.read_text())
    config.write_text(yaml.safe_dump(values | {"topics": values["topics"] | {"retention_days": dict(days)}}))
    return config


def shown(box: LetterBox) -> dict[str, dict[str, str | None]]:
    """What the broker says; a change takes a moment to be told."""
    deadline = time.monotonic() + 30
    while True:
        found = run_apart(topic_settings(box.connection, [box.prefix + name for name in KEPT]))
        kept = {name: {key: found[box.prefix + name].get(key) for key in KEPT[name]} for name in KEPT}
        if kept == KEPT or time.monotonic() > deadline:
            return kept
        time.sleep(0.1)


def test_new_topics_are_kept_as_the_settings_say(broker: Broker, tmp_path: Path, hedgerow: Hedgerow) -> None:
    box = LetterBox(broker, tmp_path, prefix="other.")  # its topics are others
    box.prefix = "kept-anew."
    config = config_of(broker, tmp_path, box.prefix)
    said = hedgerow("topics", "create", "-c", config, "--json")
    assert (said.code, said.json["kept"]) == (0, []), said.err
    assert shown(box) == KEPT
    retention = {row["name"]: row for row in hedgerow("doctor", "-c", config, "--json").rows}["retention"]
    assert (retention["ok"], retention["text"]) == (True, "3 topics kept as the settings say")


@pytest.mark.kafka
def test_topics_that_are_there_are_kept_so_from_now_on(
    kafka_broker: LocalKafka, tmp_path: Path, hedgerow: Hedgerow
) -> None:
    box = LetterBox(kafka_broker, tmp_path)
    config = config_of(kafka_broker, tmp_path, box.prefix)
    doctor = {row["name"]: row for row in hedgerow("doctor", "-c", config, "--json").rows}["retention"]
    assert not doctor["ok"]
    week = f"{box.prefix}tickets (retention.ms is {7 * DAY_MS}, not {30 * DAY_MS})"
    assert week in doctor["text"]
    assert "run: hedgerow topics create" in doctor["text"]
    said = hedgerow("topics", "create", "-c", config, "--json")
    assert (said.code, said.json) == (
        0,
        {"created": [], "kept": [box.prefix + name for name in ("tickets", "routed", "probes")]},
    ), said.err
    assert shown(box) == KEPT, "and what else was set stays"
    assert hedgerow("topics", "create", "-c", config, "--json").json["kept"] == []


@pytest.mark.kafka
def test_topics_of_an_earlier_release_are_told_and_altered_only_if_asked_for(
    kafka_broker: LocalKafka, tmp_path: Path, hedgerow: Hedgerow
) -> None:
    box = LetterBox(kafka_broker, tmp_path, prefix="of-now.")  # its topics are others
    box.prefix = "earlier."
    old = {
        "routed": {"min.insync.replicas": "1"},
        "fleet": {"cleanup.policy": "compact"},
        "memory": {"cleanup.policy": "compact"},
        "tickets": {"max.message.bytes": str(8 << 20)},
    }
    box.run(create_topics(box.connection, prefix=box.prefix, partitions=2, replication=1, configs=old))
    config = config_of(kafka_broker, tmp_path, box.prefix, {"tickets": 7})
    box.run(publish([example(ticket_id="gone")], box.connection, prefix=box.prefix))
    routed, fleet, memory, tickets = (f"{box.prefix}{name}" for name in ("routed", "fleet", "memory", "tickets"))
    lag = {"max.compaction.lag.ms": [str(2**63 - 1), str(DAY_MS)]}
    otherwise = {
        routed: {"cleanup.policy": ["delete", "compact"]} | lag,
        memory: lag,
        fleet: {
            "cleanup.policy": ["compact", "compact,delete"],
            "retention.ms": [str(7 * DAY_MS), str(33 * DAY_MS)],
            "max.compaction.lag.ms": [str(2**63 - 1), "600000"],
        },
    }

    doctor = {row["name"]: row for row in hedgerow("doctor", "-c", config, "--json").rows}
    assert doctor["retention"]["ok"], "what the settings say of a topic wins, and a larger message is none less"
    assert not doctor["topic settings"]["ok"]
    assert f"{fleet} (cleanup.policy is compact, not compact,delete, " in doctor["topic settings"]["text"]
    assert "run: hedgerow topics create --alter" in doctor["topic settings"]["text"]

    for _ in range(2):
        said = hedgerow("topics", "create", "-c", config, "--json")
        assert (said.code, said.json) == (0, {"created": [], "kept": [], "otherwise": otherwise}), said.err
    line = f"{routed} is set otherwise than this release wants: cleanup.policy is delete, not compact, "
    assert line in hedgerow("topics", "create", "-c", config).out

    report = hedgerow("forget", "gone", "-c", config, "--dry-run", "--json").json
    assert (report["done"], report["places"][0]["note"].endswith("run: hedgerow topics create --alter")) == (
        False,
        True,
    )

    asked = hedgerow("topics", "create", "-c", config, "--alter")
    assert (asked.code, asked.out.splitlines()) == (
        0,
        [
            "all topics are there",
            f"{routed} is altered: cleanup.policy=compact, max.compaction.lag.ms={DAY_MS}",
            f"{memory} is altered: max.compaction.lag.ms={DAY_MS}",
            f"{fleet} is altered: cleanup.policy=compact,delete, retention.ms={33 * DAY_MS}, max.compaction.lag.ms=600000",
        ],
    ), asked.err
    wait_until_set(box, [routed, fleet, memory, tickets])
    assert hedgerow("forget", "gone", "-c", config, "--dry-run", "--json").json["done"]
    own = {name: found.own for name, found in box.run(topic_configs(box.connection, [routed, tickets])).items()}
    assert own == {
        routed: {"min.insync.replicas": "1", "cleanup.policy": "compact", "max.compaction.lag.ms": str(DAY_MS)},
        tickets: old["tickets"],
    }
    asked = hedgerow("topics", "create", "-c", config, "--alter", "--json")
    assert (asked.code, asked.json) == (0, {"created": [], "kept": []}), asked.err
    doctor = {row["name"]: row for row in hedgerow("doctor", "-c", config, "--json").rows}
    assert (doctor["retention"]["ok"], doctor["topic settings"]["ok"]) == (True, True)


def wait_until_set(box: LetterBox, names: list[str]) -> None:
    """A change takes a moment to be told."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        short = [name.removeprefix(box.prefix) for name in names]
        if not box.run(set_otherwise(box.connection, short, {}, prefix=box.prefix)):
            return
        time.sleep(0.1)
    raise AssertionError("the topics are set otherwise")


def test_a_broker_that_cannot_change_it_says_so(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    box = LetterBox(embedded_broker, tmp_path)
    others = box.run(set_otherwise(box.connection, ["tickets"], {"tickets": 30}, prefix=box.prefix))
    assert {name: other.changes for name, other in others.items()} == {
        f"{box.prefix}tickets": {"retention.ms": (None, str(30 * DAY_MS))}
    }
    with pytest.raises(StopWorker, match="cannot change how a topic is kept"):
        box.run(alter(box.connection, others))


@pytest.mark.parametrize(
    ("days", "complaint"),
    [
        ({"ticket": 3}, "no topic 'ticket': there are tickets, .*did you mean tickets"),
        ({"fleet": 30}, "what is on fleet counts for a month: 33 days are the least"),
        ({"tickets": 0}, "retention_days.tickets: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, days: dict[str, float], complaint: str) -> None:
    values = desk_settings(tmp_path).model_dump(mode="json")
    with pytest.raises(StopWorker, match=complaint):
        check_settings(values | {"topics": {"retention_days": days}}, "test")
