"""Alert rules, dashboard and documents hold what the product measures, and nothing that it does not."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from typer.testing import CliRunner

from reference import metrics
from streams.agents.registry import MESSENGERS, AgentName
from streams.cli.main import app
from streams.core.drift.alert_kinds import WatchKind
from streams.core.guards.finding import AlertKind

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
GROUPS: list[dict[str, Any]] = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = [pytest.param(rule, id=rule["alert"]) for rule in RULES if "alert" in rule]
RECORDED = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
PANELS: list[dict[str, Any]] = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text())["panels"]
SHOWN = [pytest.param(target["expr"], id=panel["title"]) for panel in PANELS for target in panel.get("targets", ())]
RUNBOOK = (ROOT / "docs" / "oncall.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.+?)(?=^##|\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))

#: Scrapes give these to every metric.
TARGET_LABELS = {"job", "instance"}
#: What the dashboard need not show, and why.
NOT_SHOWN = {
    "hedgerow_escalation_share": "of one worker; the dashboard has the share of all, from hedgerow_tickets_total",
    "hedgerow_stalled": "its worker ends at once; hedgerow_without_progress_seconds shows it coming",
}
#: What ends other alerts.
SILENT_KINDS = {AlertKind.RECOVERED, AlertKind.RESUMED, WatchKind.ACKNOWLEDGED}


#: The labels of every metric of workers and probers; the reference has a row for each.
FAMILIES = {
    name: labels for registry in metrics.registries().values() for name, _, labels, _ in metrics.metrics(registry)
}


def test_an_agent_that_runs_everywhere_is_missed_if_it_is_absent() -> None:
    """Those that post to webhooks run only if there are some."""
    (rule,) = [rule for rule in RULES if rule.get("alert") == "HedgerowAgentAbsent"]
    assert set(re.findall(r'agent="(\w+)"', rule["expr"])) == set(get_args(AgentName)) - set(MESSENGERS)


def used(expression: str) -> set[str]:
    """Return the metrics of an expression, those behind recorded ones included."""
    for name in re.findall(r"\bhedgerow:[a-z]\w*:\w+", expression):
        expression += RECORDED[name]
    names = set(re.findall(r"\bhedgerow_\w+", expression))
    return {re.sub(r"_(bucket|count|sum)$", "", name) if name not in FAMILIES else name for name in names}


def promtool() -> str:
    """Return promtool's path; skip without it, and fail if CI=true."""
    found = shutil.which("promtool", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail("there is no promtool: run make promtool")
    if found is None:
        pytest.skip("there is no promtool: run make promtool")
    return found


def accepts(command: list[str], file: Path) -> None:
    """Run promtool on a file, and fail with what it says if it refuses it."""
    done = subprocess.run([promtool(), *command, str(file)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts.test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_accepts_scrapes_and_rules(arguments: list[str]) -> None:
    accepts(arguments[:-1], PROMETHEUS / arguments[-1])


@pytest.mark.parametrize("expression", [*(pytest.param(p.values[0]["expr"], id=p.id) for p in ALERTS), *SHOWN])
def test_rules_and_dashboard_ask_for_metrics_and_labels_that_exist(expression: str) -> None:
    names = used(expression)
    assert names <= FAMILIES.keys()
    known = TARGET_LABELS | {"le", "kind", "source"} | {label for name in names for label in FAMILIES[name]}
    asked = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for labels in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expression):
        asked |= {label.strip() for label in labels.split(",") if label.strip()}
    assert asked <= known


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_has_a_severity_a_summary_with_its_values_and_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    annotations = rule["annotations"]
    assert annotations.keys() == {"summary", "action", "runbook_url"}
    assert "{{ $" in annotations["summary"]
    assert annotations["runbook_url"] == f"docs/oncall.md#{rule['alert'].lower()}"
    section = SECTIONS[rule["alert"]]
    assert [f"**{part}:**" in section for part in ("Means", "Look at", "Do")] == [True] * 3


def test_promtool_accepts_the_scrape_of_a_cluster(tmp_path: Path) -> None:
    # Debian's promtool is built without Kubernetes' discovery; the relabelling is ours.
    scrape = (PROMETHEUS / "kubernetes.yml").read_text()
    found_by = "kubernetes_sd_configs: [{role: pod}]"
    assert found_by in scrape
    (tmp_path / "kubernetes.yml").write_text(scrape.replace(found_by, "static_configs: [{targets: [pod:9100]}]"))
    (tmp_path / "alerts.yml").write_bytes((PROMETHEUS / "alerts.yml").read_bytes())
    accepts(["check", "config"], tmp_path / "kubernetes.yml")


def test_the_runbook_has_no_section_without_an_alert() -> None:
    assert list(SECTIONS) == sorted(SECTIONS, key=[each.id for each in ALERTS].index)


@pytest.mark.parametrize("rule", ALERTS)
def test_an_alert_is_tested(rule: dict[str, Any]) -> None:
    tests = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    expected = {name for test in tests for name in fired(test)}
    assert rule["alert"] in expected


def fired(test: dict[str, Any]) -> Iterator[str]:
    """Yield the names of the alerts that a test of rules expects to fire."""
    for case in test.get("alert_rule_test", ()):
        if case["exp_alerts"]:
            yield case["alertname"]
    for case in test.get("promql_expr_test", ()):
        if case["exp_samples"]:
            text = f"{case['expr']} {case['exp_samples']}"
            yield from re.findall(r'alertname="(\w+)"', text)


def test_every_kind_of_alert_is_in_one_rule() -> None:
    kinds = [
        kind
        for rule in RULES
        if "alert" in rule
        for matcher in re.findall(r'raised15m\{kind=~?"([^"]+)"\}', rule["expr"])
        for kind in matcher.split("|")
    ]
    # These have metrics, which say more than one alert in a while.
    measured = {AlertKind.EXCEPTION_IN_USE, AlertKind.ENDPOINT_DOWN, AlertKind.PAUSED, AlertKind.REVIEW_OVERLOAD}
    assert sorted(kinds) == sorted({*AlertKind, *WatchKind} - SILENT_KINDS - measured)


def test_documents_name_metrics_that_exist() -> None:
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").glob("*.md")):
        if path.name != "CHANGELOG.md":
            assert used(path.read_text()) - {"hedgerow_"} <= FAMILIES.keys(), path


def test_the_dashboard_shows_every_metric_that_matters() -> None:
    shown = {name for each in SHOWN for name in used(str(each.values[0]))}
    assert FAMILIES.keys() - shown == NOT_SHOWN.keys()


def commands() -> set[str]:
    """Return the words after hedgerow in every command that runbook and actions name."""
    texts = [RUNBOOK, *(rule["annotations"]["action"] for rule in RULES if "alert" in rule)]
    found = {match.strip() for text in texts for match in re.findall(r"\bhedgerow ((?:[a-z-]+ ?)+)", text)}
    groups = {each.name for each in app.registered_groups}
    return {" ".join(words.split()[: 2 if words.split()[0] in groups else 1]) for words in found}


@pytest.mark.parametrize("command", sorted(commands()))
def test_the_runbook_names_commands_that_exist(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"])
    assert said.exit_code == 0, said.output


def test_both_scrapes_and_the_operator_name_the_job_and_keep_our_labels() -> None:
    for name in ("prometheus.yml", "kubernetes.yml"):
        (job,) = yaml.safe_load((PROMETHEUS / name).read_text())["scrape_configs"]
        assert (job["job_name"], job["honor_labels"]) == ("hedgerow", True)
        assert "service" in {each.get("target_label") for each in job["relabel_configs"]}
    monitor = yaml.safe_load((PROMETHEUS / "service-monitor.yaml").read_text())["spec"]
    service = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "metrics.yaml").read_text())
    labels = service["metadata"]["labels"]
    assert monitor["selector"]["matchLabels"].items() <= labels.items()
    assert labels[monitor["jobLabel"]] == "hedgerow"
    (endpoint,) = monitor["endpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert "annotations" not in service["metadata"], "a scrape by annotations would count everything twice"
