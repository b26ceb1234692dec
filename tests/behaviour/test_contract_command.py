"""hedgerow contract, and what a worker does with a broken contract when it starts, against a real model server."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.cli.main import main
from streams.demo.contracts import sandbox_contract
from streams.demo.run import local_connection
from streams.errors import StopWorker
from streams.kafka.topics import create_topics
from streams.models.probed_endpoint import load_endpoints
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.settings import check_settings
from streams.worker.worker import Worker
from tests.support.brokers import run_apart
from tests.support.contracts import EXCEPTION

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:1"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(model_server: ModelServer) -> Iterator[ModelServer]:
    yield model_server
    run_apart(model_server.set_faults([]))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["hedgerow", "contract", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return command


def values(server: ModelServer, *exceptions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    tier = {"base_url": server.url, "attempts": 1}
    papers = [sandbox_contract("cheap", "sandbox-cheap"), sandbox_contract("big", "sandbox-big")]
    return {
        "broker": {"bootstrap": NOWHERE},
        "labels": list(server.labels),
        "tiers": {"cheap": {**tier, "model": "sandbox-cheap"}, "big": {**tier, "model": "sandbox-big"}},
        "contracts": {"contracts": papers, "exceptions": list(exceptions)},
    } | changes


def config(folder: Path, **settings: Any) -> Path:
    path = folder / "hedgerow.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


class TestCheck:
    def test_kept(self, server: ModelServer, run: Run, tmp_path: Path) -> None:
        excused = EXCEPTION | {"model": "sandbox-cheap", "expires": "2020-01-01"}
        path = config(tmp_path, **values(server, excused))
        code, out, _ = run("check", "--config", path)
        assert code == 0
        assert "cheap tier: sandbox-cheap-2026-08-01 keeps its contract, k = 20" in out
        assert "not in force: it expired on 2020-01-01" in out
        code, out, _ = run("check", "--config", path, "--json")
        report = json.loads(out)
        assert (code, report["kept"], [row["breaches"] for row in report["endpoints"]]) == (0, True, [[], []])
        assert [row["in_force"] for row in report["exceptions"]] == [False]

    @pytest.mark.parametrize(
        ("fault", "breach"),
        [
            ("logprobs_null", "logprobs_null"),
            ("truncated_k", "k_below_minimum"),
            ("wrong_model", "model_not_allowed"),
            ("server_error", "no_answer"),
        ],
    )
    def test_broken_exits_with_one_and_a_table(
        self, server: ModelServer, run: Run, tmp_path: Path, fault: str, breach: str
    ) -> None:
        run_apart(server.set_faults([f"big:{fault}=1"]))
        path = config(tmp_path, **values(server))
        code, out, _ = run("check", "--config", path, "--json")
        cheap, big = json.loads(out)["endpoints"]
        assert (code, cheap["kept"], big["kept"]) == (1, True, False)
        assert breach in [each["name"] for each in big["breaches"]]
        code, out, _ = run("check", "--config", path)
        assert code == 1
        assert "broken" in out
        assert "sandbox-big" in out

    def test_an_endpoint_that_is_away(self, server: ModelServer, run: Run, tmp_path: Path) -> None:
        settings = values(server)
        settings["tiers"]["cheap"] |= {"base_url": f"http://{NOWHERE}/v1"}
        code, out, _ = run("check", "--config", config(tmp_path, **settings), "--json")
        assert code == 1
        assert json.loads(out)["endpoints"][0]["breaches"][0]["name"] == "no_answer"

    def test_a_model_that_the_endpoint_does_not_know(self, server: ModelServer, run: Run, tmp_path: Path) -> None:
        settings = values(server)
        settings["tiers"]["big"] |= {"model": "gpt-4o"}
        settings["contracts"]["contracts"][1] |= {"model": "gpt-4o"}
        code, out, _ = run("check", "--config", config(tmp_path, **settings), "--json")
        breach = json.loads(out)["endpoints"][1]["breaches"][0]
        assert (code, breach["name"], breach["field"]) == (1, "refused", "answer")

    def test_without_contracts_there_is_nothing_to_check(self, server: ModelServer, run: Run, tmp_path: Path) -> None:
        settings = values(server)
        del settings["contracts"]
        code, out, err = run("check", "--config", config(tmp_path, **settings))
        assert (code, out) == (2, "")
        assert "no contracts to check" in err


class TestScan:
    def test_reports_each_endpoint(self, server: ModelServer, run: Run, tmp_path: Path) -> None:
        run_apart(server.set_faults(["big:logprobs_null=1"]))
        rows = [
            {"name": "one", "base_url": server.url, "model": "sandbox-cheap"},
            {"base_url": server.url, "model": "sandbox-big"},
            {"name": "legacy", "base_url": server.url, "model": "sandbox-cheap", "api": "completions"},
            {"name": "away", "base_url": f"http://{NOWHERE}/v1", "model": "m", "attempts": 1},
        ]
        path = tmp_path / "endpoints.yaml"
        path.write_text(yaml.safe_dump({"endpoints": rows}))
        code, out, _ = run("scan", path, "--json")
        one, big, legacy, away = json.loads(out)
        assert code == 0
        assert (one["name"], one["logprobs"], one["shape"], one["k"], one["min_output_tokens"]) == (
            "one", True, "chat/content", 20, 1,
        )  # fmt: skip
        assert (big["name"], big["logprobs"], big["reason"]) == ("sandbox-big", False, "logprobs_null")
        assert (legacy["logprobs"], legacy["shape"]) == (True, "legacy/tokens")
        assert (away["logprobs"], away["reason"]) == (False, "no_answer")
        code, out, _ = run("scan", path)
        assert code == 0
        assert "chat/content" in out

    @pytest.mark.parametrize("bare", [False, True])
    def test_takes_the_file_of_endpoints_to_probe(
        self, server: ModelServer, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: bool
    ) -> None:
        """The example as it is, but for where it points to."""
        example = ROOT / "deploy" / "endpoints.example.yaml"
        rows = load_endpoints(example).model_dump(mode="json", exclude_unset=True)["endpoints"]
        assert {key for row in rows for key in row} >= {"provider", "prompt", "interval_s", "jitter_s"}
        for row in rows:
            monkeypatch.setenv(row["api_key_env"], "secret")
            row |= {"base_url": server.url, "model": "sandbox-cheap"}
        path = tmp_path / "endpoints.yaml"
        path.write_text(yaml.safe_dump(rows if bare else {"endpoints": rows}))
        code, out, err = run("scan", path, "--json")
        assert (code, err) == (0, "")
        found = [(row["name"], row["logprobs"]) for row in json.loads(out)]
        assert found == [("cheap", True), ("big", True), ("spare", True)]

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("endpoints: []", "endpoints is empty"),
            ("endpoints: 5", "one key is expected, endpoints"),
            ("5", "one key is expected, endpoints"),
            ("endpoints: [5]", "endpoints.0"),
            ("tiers: {}", "one key is expected, endpoints"),
            ("endpoints: [{model: m}]", "endpoints.0.base_url is missing"),
            ("endpoints: [{base_url: 'http://a/v1', model: m, api: soap}]", "endpoints.0.api"),
            ("endpoints: [{base_url: 'http://a/v1', model: m, spare: 1}]", "endpoints.unknown key 0.spare"),
            ("endpoints: [{base_url: 'http://a/v1', modle: m}]", "unknown key 0.modle; did you mean model?"),
        ],
    )
    def test_a_file_that_cannot_be_meant_is_one_line(self, run: Run, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "endpoints.yaml"
        path.write_text(text)
        code, out, err = run("scan", path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err


class TestWorker:
    @pytest.fixture
    async def settings(self, server: ModelServer, embedded_broker: EmbeddedBroker) -> dict[str, Any]:
        """Settings with topics of their own, which are there."""
        prefix = f"contract-{secrets.token_hex(4)}."
        await create_topics(local_connection(embedded_broker), prefix=prefix, partitions=1, replication=1)
        broker = {"bootstrap": embedded_broker.bootstrap, "session_timeout_s": 2.0, "heartbeat_s": 0.3}
        return values(server, broker=broker, topics={"prefix": prefix, "partitions": 1})

    async def ends(self, settings: dict[str, Any], agent: Any) -> str | None:
        """Run a worker until it is ready or ends, and return the line that it ends with."""
        worker = Worker(check_settings(settings, "x"), [agent])
        running = asyncio.create_task(worker.run())
        ready = asyncio.create_task(worker.ready.wait())
        await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        worker.stop()
        try:
            await running
        except StopWorker as stopped:
            return str(stopped)
        return None

    @pytest.mark.parametrize(("agent", "tier"), [("classify", "cheap"), ("escalate", "big")])
    async def test_a_broken_contract_stops_it(
        self, settings: dict[str, Any], model_server: ModelServer, agent: str, tier: str
    ) -> None:
        await model_server.set_faults([f"{tier}:wrong_model=1"])
        line = await self.ends(settings, agent)
        assert line is not None
        assert "\n" not in line
        assert f"the contract of the {tier} tier's sandbox-{tier} is broken (model_not_allowed" in line

    @pytest.mark.parametrize(
        ("fault", "changes"),
        [("wrong_model", {"contracts_at_start": "warn"}), ("server_error", {})],
        ids=["a warning is enough", "no answer is no broken contract"],
    )
    async def test_else_it_starts(
        self, settings: dict[str, Any], model_server: ModelServer, fault: str, changes: dict[str, Any]
    ) -> None:
        await model_server.set_faults([f"{fault}=1"])
        assert await self.ends(settings | changes, "classify") is None

    async def test_an_agent_that_calls_no_model_checks_none(
        self, settings: dict[str, Any], model_server: ModelServer
    ) -> None:
        await model_server.set_faults(["wrong_model=1"])
        before = (await model_server.stats())["requests"]
        assert await self.ends(settings, "score") is None
        assert (await model_server.stats())["requests"] == before
