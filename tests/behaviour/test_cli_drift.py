"""hedgerow drift and hedgerow probe, as a person or a program meets them."""

from __future__ import annotations

import getpass
import json
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from schemas import TOPICS, Alert, Probe, Review
from streams.kafka.send import publish
from streams.kafka.topics import create_topics
from streams.reviews.store import ReviewStore
from streams.sandbox.brokers.embedded import EmbeddedBroker
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.simulated_probes import Endpoint, probe_rows
from streams.settings import load_settings
from tests.support.brokers import run_apart
from tests.support.commands import Hedgerow
from tests.support.messages import review
from tests.support.probes import probes


def lines_of(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.fixture
def config(embedded_broker: EmbeddedBroker, model_server: ModelServer, tmp_path: Path) -> Path:
    """Settings with topics that are there, and both tiers probed."""
    tiers = {tier: {"base_url": model_server.url, "model": f"sandbox-{tier}"} for tier in ("cheap", "big")}
    endpoints = [fields | {"name": tier, "provider": "Sandbox"} for tier, fields in tiers.items()]
    (tmp_path / "endpoints.yaml").write_text(yaml.safe_dump(endpoints))
    path = tmp_path / "hedgerow.yaml"
    values = {
        "broker": {"bootstrap": embedded_broker.bootstrap, "session_timeout_s": 2.0, "heartbeat_s": 0.3},
        "topics": {"prefix": f"cli-{secrets.token_hex(4)}.", "partitions": 2},
        "labels": list(model_server.labels),
        "tiers": tiers,
        "endpoints": "endpoints.yaml",
    }
    path.write_text(yaml.safe_dump(values))
    settings = load_settings(path)
    run_apart(created(settings.broker.connection, settings.topics.prefix))
    return path


async def created(connection: Any, prefix: str) -> None:
    await create_topics(connection, prefix=prefix, partitions=2, replication=1)


class TestReplay:
    ROWS = (
        *probe_rows(Endpoint(change_at=150, change_rms=2.0), 250, 1, "jumps"),
        *probe_rows(Endpoint(k_at=150), 250, 2, "shrinks"),
    )

    def test_one_json_line_per_alarm(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        said = hedgerow(
            "drift", "replay", lines_of(tmp_path / "rows.jsonl", list(self.ROWS)), "--detector", "lt-ref", "--json"
        )
        assert (said.code, said.err) == (0, "")
        jump, shrink = said.rows
        assert list(jump) == ["endpoint", "index", "at", "detector", "kind", "statistic", "score"]
        assert (jump["endpoint"], jump["detector"], jump["kind"]) == ("jumps", "lt-ref", "change")
        assert 150 <= jump["index"] < 160
        assert jump["at"] == jump["index"] * 3600
        assert (shrink["endpoint"], shrink["kind"], shrink["index"]) == ("shrinks", "k_change", 152)

    def test_a_return_is_dated_and_two_models_that_alternate_too(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        rows = probe_rows(Endpoint(change_at=150, change_rms=0.3, swap_every=40), 270, 1, "swaps")
        said = hedgerow("drift", "replay", lines_of(tmp_path / "rows.jsonl", rows), "--json")
        assert [alarm["kind"] for alarm in said.rows] == ["change", "returned", "alternating"]
        _, returned, alternating = said.rows
        assert returned["matched"]["first"] == 0
        assert returned["matched"]["last"] < 150 * 3600
        assert alternating["matched"]["first"] == 150 * 3600
        assert alternating["swaps"] == [150 * 3600, 190 * 3600, 230 * 3600]

    def test_lines_that_are_no_rows_are_counted_and_named(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        odd = ["nonsense", "[]", '{"endpoint": "jumps", "at": 1, "logprobs": {"a": NaN}}', '{"at": 5}']
        said = hedgerow("drift", "replay", lines_of(tmp_path / "rows.jsonl", [*odd, *self.ROWS]))
        assert said.code == 0
        assert [row["kind"] for row in said.rows] == ["change", "k_change"]
        assert "2 alarms in 501 probes of 2 endpoints" in said.err
        assert "1 probe is no sample: not_finite" in said.err
        assert "3 lines name no endpoint" in said.err

    def test_what_the_topic_holds_can_be_replayed(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        messages = [json.loads(probe.encode()) for probe in probes(Endpoint(change_at=150, change_rms=2.0), 250, 1)]
        (alarm,) = hedgerow("drift", "replay", lines_of(tmp_path / "rows.jsonl", messages), "--json").rows
        assert (alarm["endpoint"], alarm["at"]) == ("mini", messages[alarm["index"]]["at_ms"])

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(("--detector", "psi"), "there is no detector 'psi'"), ((), "No such file")],
    )
    def test_one_line_where_something_is_wrong(
        self, hedgerow: Hedgerow, tmp_path: Path, arguments: tuple[str, ...], said: str
    ) -> None:
        ended = hedgerow("drift", "replay", tmp_path / "none.jsonl", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err
        assert len(ended.err.splitlines()) == 1


class TestTwoSamples:
    def files(self, folder: Path) -> tuple[Path, Path]:
        rows = probe_rows(Endpoint(rho=0.0, change_at=10, change_rms=0.03), 20, 4)
        return lines_of(folder / "a.jsonl", rows[:10]), lines_of(folder / "b.jsonl", rows[10:])

    def test_agrees_with_an_independent_implementation(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        a, b = self.files(tmp_path)
        said = hedgerow("drift", "test", a, b, "--permutations", 2000, "--seed", 3, "--json").rows[0]
        assert list(said) == ["statistic", "p_value", "n_a", "n_b", "tokens"]
        rows = [json.loads(line)["logprobs"] for file in (a, b) for line in file.read_text().splitlines()]
        tokens = sorted({token for row in rows for token in row})
        matrix = np.array([[row.get(token, min(row.values())) for token in tokens] for row in rows])

        def statistic(order: Any) -> float:
            pooled = matrix[order]
            return float(np.abs(pooled[:10].mean(axis=0) - pooled[10:].mean(axis=0)).mean())

        observed = statistic(np.arange(20))
        rng = np.random.default_rng(99)
        hits = sum(statistic(rng.permutation(20)) >= observed * (1 - 1e-9) for _ in range(2000))
        assert said["statistic"] == pytest.approx(observed, abs=1e-4)
        assert said["p_value"] == pytest.approx((1 + hits) / 2001, abs=0.03)
        assert (said["n_a"], said["n_b"], said["tokens"]) == (10, 10, len(tokens))

    def test_in_words(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        a, b = self.files(tmp_path)
        assert "(10 and 10 probes)" in hedgerow("drift", "test", a, b).out
        empty = hedgerow("drift", "test", a, lines_of(tmp_path / "c.jsonl", []))
        assert (empty.code, "no usable row" in empty.err) == (2, True)

    def test_standard_input_cannot_be_both_sets(self, hedgerow: Hedgerow) -> None:
        said = hedgerow("drift", "test", "-", "-")
        assert (said.code, said.out) == (2, "")
        assert said.err == (
            "hedgerow: drift test - -: standard input can be read only once; name a file for one of the two\n"
        )


@pytest.mark.parametrize("name", ["p.pdf", "p.svg.gz"])
def test_plot_writes_no_picture_under_another_name(hedgerow: Hedgerow, tmp_path: Path, name: str) -> None:
    rows, out = lines_of(tmp_path / "rows.jsonl", list(TestReplay.ROWS)), tmp_path / name
    said = hedgerow("drift", "plot", rows, "--out", out)
    assert (said.code, said.out) == (2, "")
    assert said.err == f"hedgerow: {out}: pictures are SVG or PNG; give a name that ends in .svg or .png\n"
    assert not out.exists()


def test_plot_draws_every_endpoint(hedgerow: Hedgerow, tmp_path: Path) -> None:
    rows, out = lines_of(tmp_path / "rows.jsonl", list(TestReplay.ROWS)), tmp_path / "plot.svg"
    assert hedgerow("drift", "plot", rows, "--out", out).code == 0
    assert "Probes of jumps; shrinks" in out.read_text()
    assert hedgerow("drift", "plot", rows, "--out", tmp_path / "new" / "plot.png").code == 0
    assert (tmp_path / "new" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert hedgerow("drift", "plot", rows, "--out", out, "--endpoint", "nobody").err.endswith("no probes of 'nobody'\n")
    assert hedgerow("drift", "plot", rows, "--out", rows / "plot.svg").code == 2


class TestReport:
    def test_of_a_file(self, hedgerow: Hedgerow, tmp_path: Path) -> None:
        rows = [row | {"provider": "A", "cost_usd": 1e-6} for row in TestReplay.ROWS]
        (line,) = hedgerow("drift", "report", lines_of(tmp_path / "rows.jsonl", rows), "--json").rows[0]
        assert (line["provider"], line["endpoints"], line["probes"], line["changes"]) == ("A", 2, 500, 1)
        assert line["usd_per_year"] == pytest.approx(1e-6 * 8766, rel=0.01)

    def test_of_the_topic(self, hedgerow: Hedgerow, config: Path) -> None:
        settings = load_settings(config)
        sent = probes(Endpoint(), 5, 1, name="cheap") + probes(Endpoint(), 5, 1, name="big")
        run_apart(publish(sent, settings.broker.connection, prefix=settings.topics.prefix))
        (line,) = hedgerow("drift", "report", "--config", config, "--json").rows[0]
        assert (line["provider"], line["endpoints"], line["probes"]) == ("Sandbox", 2, 10)
        assert "Sandbox" in hedgerow("drift", "report", "--config", config).out


class TestProbe:
    def test_once_sends_and_says_what_came_back(self, hedgerow: Hedgerow, config: Path) -> None:
        said = hedgerow("probe", "once", "--config", config, "--json")
        assert said.code == 0
        assert [(row["endpoint"], len(row["logprobs"])) for row in said.rows] == [("cheap", 20), ("big", 20)]
        assert all(row["cost_usd"] > 0 for row in said.rows)
        sent = consumed(hedgerow, config, "probes", 2)
        assert sorted(Probe.model_validate(row).endpoint for row in sent) == ["big", "cheap"]

    def test_once_without_sending_needs_no_settings(self, hedgerow: Hedgerow, config: Path) -> None:
        said = hedgerow(
            "probe", "once", "--dry-run", "--endpoints", config.parent / "endpoints.yaml", "--config", "none"
        )
        assert said.code == 0
        assert "k = 20, likeliest" in said.out

    def test_an_endpoint_that_is_away_is_told_sent_and_exit_1(self, hedgerow: Hedgerow, config: Path) -> None:
        endpoints = config.parent / "away.yaml"
        away = {"base_url": "http://127.0.0.1:1/v1", "attempts": 1, "name": "away", "model": "gpt-4o"}
        endpoints.write_text(yaml.safe_dump([away]))
        said = hedgerow("probe", "once", "--config", config, "--endpoints", endpoints)
        assert said.code == 1
        assert "connection: " in said.out
        (sent,) = consumed(hedgerow, config, "probes", 1)
        assert (sent["endpoint"], sent["logprobs"]) == ("away", None)

    def test_what_was_paid_for_is_printed_even_if_the_broker_is_away(self, hedgerow: Hedgerow, config: Path) -> None:
        values = yaml.safe_load(config.read_text())
        values["broker"]["bootstrap"] = "127.0.0.1:1"
        config.write_text(yaml.safe_dump(values))
        said = hedgerow("probe", "once", "--json", "--config", config)
        assert said.code == 2
        assert [row["endpoint"] for row in said.rows] == ["cheap", "big"]

    def test_run_probes_until_it_is_told_to_stop(self, config: Path) -> None:
        endpoints = yaml.safe_load((config.parent / "endpoints.yaml").read_text())
        quick = [endpoint | {"interval_s": 0.05} for endpoint in endpoints]
        (config.parent / "endpoints.yaml").write_text(yaml.safe_dump(quick))
        command = [sys.executable, "-m", "streams.cli", "probe", "run", "--config", str(config), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as prober:
            assert prober.stdout is not None
            rows = [json.loads(prober.stdout.readline()) for _ in range(6)]
            prober.send_signal(signal.SIGTERM)
            _, log = prober.communicate(timeout=30)
        assert prober.returncode == 0, log
        assert b"this prober leads" in log
        assert {row["endpoint"] for row in rows} == {"cheap", "big"}
        assert len({row["probe_id"] for row in rows}) == 6

    def test_no_endpoints_is_one_line(self, hedgerow: Hedgerow, config: Path) -> None:
        values = yaml.safe_load(config.read_text())
        del values["endpoints"]
        config.write_text(yaml.safe_dump(values))
        for command in ("once", "run"):
            said = hedgerow("probe", command, "--config", config)
            assert (said.code, "no endpoints to probe" in said.err) == (2, True)


class TestAcknowledge:
    def test_of_a_user_without_a_login_name_asks_for_one(
        self, hedgerow: Hedgerow, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown() -> str:
            raise KeyError("getpwuid(): uid not found: 54321")

        monkeypatch.setattr(getpass, "getuser", unknown)
        said = hedgerow("drift", "acknowledge", "cheap", "--config", config)
        assert (said.code, said.out) == (2, "")
        assert said.err == "hedgerow: this user has no login name: give a name with --by\n"

    def test_puts_it_on_the_topic(self, hedgerow: Hedgerow, config: Path) -> None:
        said = hedgerow("drift", "acknowledge", "cheap", "--config", config, "--by", "ada", "--note", "recalibrated")
        assert (said.code, said.out) == (0, "cheap: acknowledged by ada: recalibrated\n")
        (row,) = consumed(hedgerow, config, "alerts", 1)
        sent = Alert.model_validate(row)
        assert (sent.source, sent.kind, sent.details["by"]) == ("cheap", "acknowledged", "ada")
        assert sent.source.encode() == TOPICS["alerts"].key_of(sent)

    def test_says_which_reviews_waited_for_it_and_how_they_go_through_again(
        self, hedgerow: Hedgerow, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HEDGEROW_REVIEW__URL", f"sqlite:///{tmp_path / 'reviews.db'}")
        assert "for that reason" not in hedgerow("drift", "acknowledge", "cheap", "--config", config, "--by", "ada").out
        assert not (tmp_path / "reviews.db").exists()
        store = ReviewStore(load_settings(config).review.url)
        store.add(review("a", reasons=("cheap:low_confidence", "big:policy_stale")))
        store.add(review("b", reasons=("cheap:policy_stale",)))
        store.add(review("c", reasons=("big:high_entropy",)))
        store.decide(Review.id_for("b"), "refund", "ada", "", 1)
        said = hedgerow("drift", "acknowledge", "cheap", "--config", config, "--by", "ada")
        assert said.out.splitlines()[1:] == [
            "1 review waits for that reason: hedgerow rerun --from reviews --reason policy_stale"
        ]

    def test_of_nobody_is_refused(self, hedgerow: Hedgerow, config: Path) -> None:
        said = hedgerow("drift", "acknowledge", "chaep", "--config", config)
        assert said.code == 2
        assert "no endpoint 'chaep' is probed: there are cheap, big" in said.err


def consumed(hedgerow: Hedgerow, config: Path, topic: str, count: int) -> list[Any]:
    return hedgerow("consume", topic, "--config", config, "--max", count, "--wait", 20, "--json").rows
