"""A short run of the fuzz benchmark: every message ends, no worker dies; and a test that its account can fail."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz.__main__ import bad
from benchmarks.fuzz.corpus import Corpus
from benchmarks.fuzz.generate import Generator
from benchmarks.fuzz.inputs import Inputs, Seen
from benchmarks.fuzz.parsers import read
from benchmarks.fuzz.stages import READERS, throw
from schemas import TOPICS, InvalidMessage, Routed
from schemas.export import FOLDER
from streams.delivery.dead_letters import dead_letter
from streams.errors import GiveUp
from streams.sandbox.model_server.process import ModelServer
from tests.support.messages import routed, ticket
from tests.support.records import FakeRecord

SEED = 5
PARSED = 100
THROWN = 200


@pytest.mark.parametrize("topic", TOPICS)
def test_every_parser_has_a_typed_answer_to_everything(topic: str) -> None:
    found = read(topic, PARSED, SEED)
    assert found.faults == []
    assert found.valid + found.letters.total() == PARSED
    assert found.valid > PARSED / 4, "what is drawn from a schema is valid, as a rule"
    assert len(found.letters) > 1


@pytest.mark.parametrize("topic", TOPICS)
def test_what_a_json_schema_allows_its_reader_takes(topic: str) -> None:
    """But for what JSON Schema cannot tell from another: a text of nothing but white space, a vector of another length."""
    schema = json.loads((FOLDER / f"{topic}.v{TOPICS[topic].message.VERSION}.json").read_text())
    generator = Generator(schema, Random(SEED))
    refused = []
    for _ in range(PARSED):
        try:
            row = generator.draw()
            if topic == "memory":
                row["vector"] = "ADw="
            TOPICS[topic].message.decode(json.dumps(row).encode())
        except InvalidMessage as invalid:
            refused.append(str(invalid))
    assert [reason for reason in refused if "the text is empty" not in reason] == []


def test_the_corpus_comes_from_its_seed_alone() -> None:
    first = list(Corpus("verdicts", SEED).messages(600))
    assert first == list(Corpus("verdicts", SEED).messages(600))
    assert first != list(Corpus("verdicts", SEED + 1).messages(600))


async def test_every_message_on_every_topic_ends_and_no_worker_dies(model_server: ModelServer, tmp_path: Path) -> None:
    thrown = await throw(list(READERS), THROWN, SEED, model_server, tmp_path)
    assert thrown.worker_died is None
    assert thrown.uncommitted == {}
    assert len(thrown.ended) == sum(len(agents) for agents in READERS.values())
    for name, ended in thrown.ended.items():
        assert (ended.lost, ended.wrong) == ([], []), name
        assert ended.results + ended.silent + ended.letters.total() == ended.sent == THROWN, name
        assert "handler_defect" not in ended.letters, name


def test_the_account_names_what_is_lost_and_what_is_wrong() -> None:
    inputs, seen = Inputs("tickets"), Seen()
    values = {0: ticket("a").encode(), 1: ticket("b").encode(), 2: b"nonsense", 3: b"nonsense too", 4: b"more"}
    for offset, value in values.items():
        inputs.sent(0, offset, f"tickets/0/{offset}", value)
    seen.take(routed("a", result_id=Routed.id_for("a")), "")
    for offset, value, reason in ((2, b"nonsense", "not_json"), (3, b"other bytes", "not_json"), (4, b"more", "other")):
        error = GiveUp("no", reason=reason)
        record = FakeRecord(offset, value)
        seen.take(dead_letter(record, agent="classify", reason=reason, error=error, attempts=1, at_ms=0), "")
    ended = inputs.ended("classify", seen, keys=seen.keys)
    assert ended.results == 1
    assert ended.lost == ["tickets/0/1: no result for 'b'"]
    assert [line.partition(":")[0] for line in ended.wrong] == ["tickets/0/3", "tickets/0/4"]
    assert inputs.ended("score", seen, keys=None).lost == [
        f"tickets/0/{at}: no dead letter (not_json)" for at in (2, 3, 4)
    ]


def test_the_report_says_what_is_bad() -> None:
    row = {"lost": 0, "wrong_letters": 0, "uncommitted": {}, "dead_letters": {"not_json": 3}}
    well = {"parsers": {"t": {"faults": 0}}, "stages": {"agents": {"a": row}, "worker_died": None}}
    assert bad(well) == []
    assert bad({"parsers": {"t": {"faults": 1}}}) == ["parser t"]
    for fault in ({"lost": 1}, {"wrong_letters": 1}, {"uncommitted": {0: 1}}, {"dead_letters": {"handler_defect": 1}}):
        assert bad({"stages": {"agents": {"a": row | fault}, "worker_died": None}}) == ["stage a"]
    assert bad({"stages": {"agents": {}, "worker_died": "KeyError()"}}) == ["worker"]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="needs the dependency group fuzz")
@pytest.mark.parametrize("target", ["message", "response"])
def test_coverage_guided_targets_find_nothing_in_a_short_run(target: str) -> None:
    command = [sys.executable, "-m", "benchmarks.fuzz.guided", target, "--runs", "2000", "--seed", str(SEED)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Done 2000 runs" in done.stderr
