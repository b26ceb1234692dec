"""Which watching agent reads what, in whose name, and when a worker runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.agents.registry import AGENTS, KEEPERS, WATCHERS
from streams.errors import SettingsError
from streams.files import read_document
from streams.settings import Settings, check_settings, load_settings
from streams.worker.stages import traffic_source, watcher

URL = "http://model.test/v1"
MINI: dict[str, Any] = {"name": "mini", "base_url": URL, "model": "gpt-4o-mini"}


def values(**more: Any) -> dict[str, Any]:
    tiers = {tier: {"base_url": URL, "model": model} for tier, model in (("cheap", "gpt-4o-mini"), ("big", "gpt-4o"))}
    return {"labels": ["refund", "shipping"], "tiers": tiers} | more


def settings(**more: Any) -> Settings:
    return check_settings(values(**more), "x")


def test_each_agent_reads_its_topic_and_those_with_windows_have_a_memory() -> None:
    stages = {agent: watcher(agent, settings(), lambda endpoint, what: None) for agent in WATCHERS}
    assert {agent: stage.topic.name for agent, stage in stages.items()} == {
        "drift": "probes",
        "traffic": "classifications",
        "cause": "alerts",
    }
    assert all(stage.computes_only for stage in stages.values())
    for agent in ("drift", "cause"):
        assert stages[agent].memory is not None, agent  # type: ignore[index]
        assert not stages[agent].once, "the key is an endpoint, which comes again and again"  # type: ignore[index]
    with pytest.raises(KeyError):
        watcher("score", settings(), lambda endpoint, what: None)


def test_watchers_run_by_themselves_only_where_endpoints_are_probed() -> None:
    assert settings().default_agents == AGENTS + KEEPERS
    assert settings(endpoints=[MINI]).default_agents == AGENTS + KEEPERS + WATCHERS


def test_traffic_goes_by_the_name_under_which_the_tier_is_probed() -> None:
    assert traffic_source(settings(endpoints=[MINI | {"name": "other", "model": "gpt-4o"}, MINI])) == "mini"
    assert traffic_source(settings()) == "cheap:gpt-4o-mini"
    both = settings(endpoints=[MINI, MINI | {"name": "again", "prompt": "y"}])
    assert (both.probed_names("cheap"), both.probed_names("big")) == (("mini", "again"), ())


def test_the_endpoints_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "endpoints.yaml").write_text(yaml.safe_dump([MINI]), encoding="utf-8")
    (tmp_path / "hedgerow.yaml").write_text(yaml.safe_dump(values(endpoints="endpoints.yaml")), encoding="utf-8")
    loaded = load_settings(tmp_path / "hedgerow.yaml")
    assert loaded.endpoints is not None
    assert loaded.endpoints.endpoints[0].name == "mini"
    # A demo hands its workers the settings this way.
    assert check_settings(loaded.model_dump(mode="json"), "x") == loaded


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"drift": {"detectors": ["psi"]}}, "drift.detectors: there is no detector 'psi'"),
        ({"drift": {"detectors": []}}, "drift.detectors"),
        ({"traffic": {"windw": 5}}, "unknown key traffic.windw"),
        ({"policy": {"when_stale": "panic"}}, "policy.when_stale"),
        ({"endpoints": [MINI, MINI]}, "several endpoints have the name mini"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(more: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**more)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_example_is_a_file_of_endpoints() -> None:
    example = Path(__file__).parents[3] / "deploy" / "endpoints.example.yaml"
    assert read_document(example, "endpoints")
    assert settings(endpoints=read_document(example, "endpoints")).endpoints is not None
