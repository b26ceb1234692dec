"""From tickets to a calibrated policy on the command line: evaluate, calibrate, whatif, and score under the policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.core.calibration.records import Record
from streams.errors import SettingsError
from streams.evaluation import read_records
from streams.sandbox.model_server.process import ModelServer
from streams.sandbox.tickets import DEMO
from streams.settings import check_settings, load_policy
from streams.worker.start_checks import check_policy
from tests.support import bodies
from tests.support.answers import records, underconfident
from tests.support.bodies import Tok
from tests.support.commands import Hedgerow
from tests.support.messages import LABELS

FIGURES = (
    "saving accuracy accuracy_all_cheap accuracy_all_big accepted_error ece review_rate escalation_rate cost_usd "
    "cost_per_correct"
).split()


def write(path: Path, rows: list[Record]) -> Path:
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 records of two underconfident models."""
    return write(tmp_path_factory.mktemp("records") / "records.jsonl", records(900, worth=underconfident))


@pytest.fixture
def config(model_server: ModelServer, tmp_path: Path) -> Path:
    """Settings of the running model server."""
    tier = {"base_url": model_server.url}
    path = tmp_path / "hedgerow.yaml"
    values = {
        "labels": list(model_server.labels),
        "tiers": {"cheap": tier | {"model": "sandbox-cheap"}, "big": tier | {"model": "sandbox-big"}},
    }
    path.write_text(yaml.safe_dump(values))
    return path


def test_evaluate_records_both_tiers_and_goes_on_where_it_stopped(
    hedgerow: Hedgerow, config: Path, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    common = ("evaluate", "--config", config, "--tickets", DEMO, "--record", path, "--json")
    every = len(DEMO.read_bytes().splitlines())
    first = hedgerow(*common, "--limit", 30)
    assert (first.code, first.json["asked"], first.json["recorded"]) == (0, 30, 30)
    again = hedgerow(*common)
    assert (again.code, again.json["asked"], again.json["recorded"]) == (0, every - 30, every)
    assert again.json.keys() >= {*FIGURES, "slices", "accuracy_cheap_alone", "accuracy_big_alone"}
    assert again.json["policy_id"] == "default-1"
    rows = read_records(path)
    assert len({row.ticket.ticket_id for row in rows}) == every
    assert {row.cheap.model_asked for row in rows} == {"sandbox-cheap"}


def test_evaluate_starts_a_sandbox_of_its_own(hedgerow: Hedgerow, tmp_path: Path) -> None:
    said = hedgerow("evaluate", "--tickets", DEMO, "--record", tmp_path / "r.jsonl", "--limit", 10)
    assert said.code == 0, said.err
    assert "10 tickets" in said.out
    assert len(read_records(tmp_path / "r.jsonl")) == 10


def test_evaluate_says_nothing_in_its_libraries_words(hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
    values = yaml.safe_load(config.read_text())
    for tier in values["tiers"].values():
        tier |= {"base_url": "http://127.0.0.1:1/v1", "attempts": 2}
    config.write_text(yaml.safe_dump(values))
    said = hedgerow("evaluate", "-c", config, "--tickets", DEMO, "--record", tmp_path / "r", "--limit", 2, "--json")
    assert (said.code, said.json["unanswered"], said.err) == (1, 2, "")


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_evaluate_reads_a_table_of_tickets(hedgerow: Hedgerow, config: Path, tmp_path: Path, suffix: str) -> None:
    table, between = tmp_path / f"t.{suffix}", {"csv": ",", "tsv": "\t"}[suffix]
    rows = [
        ("id", "text", "label", "slice", "channel"),
        ("t-1", "My parcel is late", "shipping", "plain", "mail"),
        ("t-2", "My card is lost", "", "", ""),
        ("t-3", "a row that is too short"),
    ]
    table.write_text("".join(between.join(row) + "\n" for row in rows))
    said = hedgerow("evaluate", "--config", config, "--tickets", table, "--record", tmp_path / "r", "--json")
    assert said.code == 0, said.err
    assert (said.json["recorded"], said.json["invalid_rows"]) == (2, 1)
    tickets = {row.ticket.ticket_id: row.ticket for row in read_records(tmp_path / "r")}
    assert (tickets["t-1"].label, tickets["t-1"].slice, tickets["t-1"].metadata) == (
        "shipping", "plain", {"channel": "mail"},
    )  # fmt: skip
    assert tickets["t-2"].label is None


def test_evaluate_takes_one_source_of_models(hedgerow: Hedgerow, config: Path, tmp_path: Path) -> None:
    said = hedgerow("evaluate", "--tickets", DEMO, "--record", tmp_path / "r", "--config", config, "--train", DEMO)
    assert said.code == 2
    assert (
        said.err == "hedgerow: --train is for the sandbox models and --config for other endpoints: name one of them\n"
    )


def test_evaluate_takes_a_new_model_under_a_policy_of_the_old_one(
    hedgerow: Hedgerow, simulated: Path, config: Path, tmp_path: Path
) -> None:
    out, common = tmp_path / "policy.yaml", ("--tickets", DEMO, "--record", tmp_path / "r", "--limit", 3, "--json")
    hedgerow("calibrate", simulated, "--out", out)
    config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | {"policy": "policy.yaml"}))
    said = hedgerow("evaluate", "--config", config, *common)
    assert (said.code, said.json["policy_id"]) == (0, "default-1")
    refused = hedgerow("evaluate", "--config", config, "--policy", out, *common)
    assert refused.code == 2
    assert "fitted for other labels" in refused.err


def test_calibrate_writes_a_policy_that_whatif_replays(hedgerow: Hedgerow, simulated: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "policy.yaml", tmp_path / "pictures"
    said = hedgerow("calibrate", simulated, "--out", out, "--max-error", 0.06, "--pictures", folder, "--json")
    assert said.code == 0, said.err
    policy = load_policy(out)
    assert policy.id == said.json["policy_id"]
    assert policy.fitted is not None
    assert policy.fitted.promise.max_error == 0.06
    assert said.json["figures"]["accepted_error_bound"] <= 0.06
    assert sorted(path.name for path in folder.iterdir()) == ["reliability.svg", "risk_coverage.svg", "sweep.svg"]
    assert [row["chosen"] for row in said.json["trade"]].count(True) == 1

    fresh = write(tmp_path / "fresh.jsonl", records(900, seed=5, worth=underconfident))
    replayed = hedgerow("whatif", fresh, "--policy", out, "--json")
    assert replayed.code == 0, replayed.err
    assert replayed.json.keys() >= {*FIGURES, "slices"}
    assert sorted(replayed.json["slices"]) == ["a", "b"]
    assert replayed.json["accepted_error"] <= 0.06


def test_tables_for_people(
    hedgerow: Hedgerow, simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    out = tmp_path / "policy.yaml"
    said = hedgerow("calibrate", simulated, "--out", out)
    assert said.code == 0, said.err
    for text in ("AUROC", "ECE", "honest", "what more review would save", "promised: 5.00%", "written to"):
        assert text in said.out
    policy = load_policy(out)
    lines = {line.split()[0]: line for line in said.out.partition("thresholds\n")[2].splitlines() if line}
    for tier, rule in (("cheap", policy.cheap), ("big", policy.big)):
        asked, confidence, entropy = lines[tier].split()[1:4]
        assert asked.endswith("%")
        assert (confidence, entropy) == (f"{rule.min_confidence:.4f}", f"{rule.max_entropy:.4f}")
    assert f"policy {policy.id} written to {out}" in said.out
    assert f"policy: {out.name}\n" in said.out.partition("next:\n")[2]
    table = hedgerow("whatif", simulated, "--policy", out).out
    assert "accepted error" in table
    assert "saving" in table
    nothing_known = hedgerow("whatif", simulated, "--policy", out, "--out-of-scope-share", 0.1)
    assert (nothing_known.code, nothing_known.err) == (
        2,
        "hedgerow: no record is out of scope (without a label), and a share of 10.00% should be\n",
    )
    for printed in (said.out, table):
        heads = [line.split() for line in printed.splitlines()]
        assert "label tickets precision recall escalated in review".split() in heads
        assert {row[0] for row in heads if len(row) == 6} >= set(LABELS)
        assert "gold label routed as tickets".split() in heads


def test_json_has_every_label_and_the_whole_confusion_matrix(
    hedgerow: Hedgerow, simulated: Path, tmp_path: Path
) -> None:
    out = tmp_path / "policy.yaml"
    made = hedgerow("calibrate", simulated, "--out", out, "--json").json
    policy = load_policy(out)
    assert made["thresholds"] == {"cheap": policy.cheap.model_dump(), "big": policy.big.model_dump()}
    assert made["asked"]["big"] == pytest.approx(made["figures"]["escalation_rate"])
    assert 0 < made["asked"]["cheap"] <= 1
    for figures in (made["figures"], hedgerow("whatif", simulated, "--policy", out, "--json").json):
        assert set(figures["labels"]) == set(figures["confusion"]) == set(LABELS)
        assert all(set(row) == set(LABELS) for row in figures["confusion"].values())
        assert sum(one["support"] for one in figures["labels"].values()) == figures["labelled"]


def test_models_that_cost_nothing_can_be_calibrated_too(hedgerow: Hedgerow, tmp_path: Path) -> None:
    free = {"attempts": ()}
    rows = [
        row.model_copy(update={tier: getattr(row, tier).model_copy(update=free) for tier in ("cheap", "big")})
        for row in records(600, worth=underconfident)
    ]
    path = write(tmp_path / "free.jsonl", rows)
    said = hedgerow("calibrate", path, "--out", tmp_path / "p.yaml", "--max-error", 0.1, "--pictures", tmp_path)
    assert said.code == 0, said.err
    [saving] = [line for line in said.out.splitlines() if line.startswith("saving  ")]
    assert saving.split() == ["saving", "-", "-", "-"]


@pytest.mark.parametrize(
    ("given", "bound"),
    [([], 0.05), (["--max-error", 0.07], 0.07), (["--min-accuracy", 0.94], 0.06),
     (["--max-error", 0.07, "--min-accuracy", 0.94], 0.06)],
)  # fmt: skip
def test_the_stricter_of_error_and_accuracy_counts(
    hedgerow: Hedgerow, simulated: Path, tmp_path: Path, given: list[object], bound: float
) -> None:
    said = hedgerow("calibrate", simulated, "--out", tmp_path / "p.yaml", "--json", *given)
    assert said.json["promise"]["max_error"] == pytest.approx(bound)


def test_out_of_reach_is_exit_1_with_one_line_and_no_file(hedgerow: Hedgerow, simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy.yaml"
    said = hedgerow("calibrate", simulated, "--out", out, "--max-error", 0.0001)
    assert said.code == 1
    assert said.err.startswith("hedgerow: no policy keeps the accepted error under 0.01% at 95% confidence")
    assert said.err.count("\n") == 1
    assert not out.exists()
    assert hedgerow("calibrate", simulated, "--out", out, "--max-error", 0.0001, "--json").json["policy_id"] is None


def test_a_policy_for_other_models_is_refused_by_whatif(hedgerow: Hedgerow, simulated: Path, tmp_path: Path) -> None:
    out = tmp_path / "policy.yaml"
    hedgerow("calibrate", simulated, "--out", out)
    newer = [row.model_copy(update={"cheap": row.cheap.model_copy(update={"model_asked": "x"})}) for row in records(5)]
    said = hedgerow("whatif", write(tmp_path / "newer.jsonl", newer), "--policy", out)
    assert said.code == 2
    assert "cheap.model_asked 'cheap-model', the records have 'x'" in said.err


def check_start(values: dict[str, Any]) -> None:
    settings = check_settings(values, "x")
    check_policy(settings.policy, settings)


def test_a_worker_refuses_a_policy_of_other_models(
    hedgerow: Hedgerow, simulated: Path, config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "policy.yaml"
    hedgerow("calibrate", simulated, "--out", out)
    values = yaml.safe_load(config.read_text()) | {"policy": yaml.safe_load(out.read_text())}
    with pytest.raises(SettingsError, match="fitted for other labels"):
        check_start(values)
    labels = values["policy"]["fitted"]["labels"]
    with pytest.raises(SettingsError, match="fitted for the cheap model 'cheap-model', not 'sandbox-cheap'"):
        check_start(values | {"labels": labels})
    for tier in ("cheap", "big"):
        values["tiers"][tier] |= {"model": f"{tier}-model", "input_usd_per_million": 1, "output_usd_per_million": 1}
    with pytest.raises(SettingsError, match="fitted for the prompt 0123456789ab of the cheap tier, not"):
        check_start(values | {"labels": labels})


def test_score_decides_on_recorded_responses(hedgerow: Hedgerow, tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    sure = {"id": "sure", "response": bodies.chat([Tok("refund", 0.97, {"billing": 0.01})])}
    torn = {"id": "torn", "response": bodies.chat([Tok("refund", 0.5, {"billing": 0.48})])}
    path.write_text("\n".join([json.dumps(sure), json.dumps(torn), "no json", json.dumps({"id": 10**30}), ""]))
    said = hedgerow("score", "--labels", "refund, billing", path)
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [(row["status"], row["decision"]) for row in rows] == [
        ("scored", "accept"), ("scored", "escalate"), ("unscorable", "escalate"), ("unscorable", "escalate"),
    ]  # fmt: skip


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_score_audits_a_share_of_the_rows_by_their_ids(hedgerow: Hedgerow, tmp_path: Path, share: float) -> None:
    policy, path = tmp_path / "policy.yaml", tmp_path / "responses.jsonl"
    policy.write_text(f"audit_share: {share}\n")
    body = bodies.chat([Tok("refund", 0.98, {"shipping": 0.01})])
    path.write_text("".join(json.dumps({"id": number, "response": body}) + "\n" for number in range(500)))
    first, again = (hedgerow("score", "--labels", "refund,shipping", "--policy", policy, path).out for _ in range(2))
    audited = [row["reasons"] == ["audit"] for row in map(json.loads, first.splitlines())]
    assert share * 0.8 < sum(audited) / 500 < share * 1.2
    assert first == again


def test_score_under_a_fitted_policy_accepts_its_own_model_only(
    hedgerow: Hedgerow, simulated: Path, tmp_path: Path
) -> None:
    out, path = tmp_path / "policy.yaml", tmp_path / "responses.jsonl"
    hedgerow("calibrate", simulated, "--out", out)
    body = bodies.chat([Tok("refund", 0.98, {"shipping": 0.01})])
    own, other = body | {"model": "cheap-model-2026-08-01"}, body | {"model": "cheap-model-2027-01-01"}
    path.write_text("".join(json.dumps({"id": 1, "response": each}) + "\n" for each in (own, other)))
    said = hedgerow("score", "--labels", "refund,shipping,account", "--policy", out, path)
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["decision"] for row in rows] == ["accept", "escalate"]
    assert rows[1]["reasons"] == ["model_not_fitted"]
    said = hedgerow("score", "--labels", "refund,shipping", "--policy", out, path)
    assert (said.code, said.out) == (2, "")
    assert "fitted for other labels (not in both: 'account')" in said.err


def test_a_label_with_a_comma_stands_in_double_quotes(hedgerow: Hedgerow, tmp_path: Path) -> None:
    path = tmp_path / "responses.jsonl"
    path.write_text(json.dumps({"id": 1, "response": bodies.chat([Tok("lost, stolen", 0.97, {"refund": 0.01})])}))
    said = hedgerow("score", "--labels", '"lost, stolen", refund', path)
    assert said.code == 0, said.err
    assert list(json.loads(said.out)["label_probs"]) == ["lost, stolen", "refund"]
    said = hedgerow("score", "--labels", 'refund, "lost', path)
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "double quotes" in said.err


@pytest.mark.parametrize(
    "arguments",
    [("score", "--labels", "a"), ("score", "--labels", "a,b", "nowhere.jsonl"), ("whatif", "nowhere", "--policy", "x"),
     ("calibrate", "nowhere.jsonl", "--out", "p.yaml"), ("evaluate", "--tickets", "nowhere", "--record", "r")],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(
    hedgerow: Hedgerow, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = hedgerow(*arguments)
    assert said.code == 2
    assert said.err.startswith("hedgerow: ")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
