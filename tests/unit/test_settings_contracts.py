"""The contracts and guards sections of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from streams.core.guards import GuardLimits
from streams.errors import SettingsError
from streams.settings import check_settings, load_contracts, load_settings
from tests.support.contracts import EXCEPTION, PAPER

EXAMPLE = Path(__file__).parents[2] / "deploy" / "contracts.example.yaml"


def valid(**changes: Any) -> dict[str, Any]:
    tier = {"base_url": "http://127.0.0.1:1/v1", "input_usd_per_million": 1, "output_usd_per_million": 1}
    tiers = {"cheap": {**tier, "model": "cheap-model"}, "big": {**tier, "model": "big-model"}}
    return {"labels": ["refund", "shipping"], "tiers": tiers} | changes


def file(*exceptions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    big = PAPER | {"tier": "big", "model": "big-model", "model_ids": ["big-*"]}
    return {"contracts": [PAPER | changes, big], "exceptions": list(exceptions)}


def refusal(**values: Any) -> str:
    with pytest.raises(SettingsError) as refused:
        check_settings(valid(**values), "hedgerow.yaml")
    text = str(refused.value)
    assert "\n" not in text
    return text


def test_without_them_there_are_guards_all_the_same() -> None:
    settings = check_settings(valid(), "x")
    assert settings.contracts is None
    assert settings.contracts_at_start == "stop"
    assert settings.guards == GuardLimits()


def test_a_file_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "contracts.yaml").write_text(yaml.safe_dump(file(EXCEPTION)))
    path = tmp_path / "hedgerow.yaml"
    path.write_text(yaml.safe_dump(valid(contracts="contracts.yaml", guards={"window": 50, "run": 10})))
    settings = load_settings(path)
    assert settings.contracts is not None
    contract = settings.contracts.contract("cheap", "cheap-model")
    assert contract is not None
    assert (contract.owner, settings.contracts.exceptions[0].expires.isoformat()) == ("platform", "2026-12-31")
    assert (settings.guards.window, settings.guards.run) == (50, 10)
    # What a worker process is given, written out and read again.
    again = check_settings(yaml.safe_load(yaml.safe_dump(settings.model_dump(mode="json"))), "again")
    assert again.contracts == settings.contracts


@pytest.mark.parametrize(
    ("contracts", "words"),
    [
        ({"contracts": [PAPER]}, "there is none for the big tier's big-model"),
        (file(min_k=20), None),
        (file({**EXCEPTION, "labels": ["dragons"]}), "unknown labels: dragons"),
        (
            file({name: value for name, value in EXCEPTION.items() if name != "expires"}),
            "exceptions.0.expires is missing",
        ),
        (file({**EXCEPTION, "reasons": ["refused"]}), "cannot excuse refused"),
        (file(surprise=1), "unknown key contracts.contracts.0.surprise"),
        (file(mink=1), "unknown key contracts.contracts.0.mink; did you mean min_k?"),
    ],
)
def test_what_does_not_fit_is_one_line(contracts: dict[str, Any], words: str | None) -> None:
    if words is None:
        check_settings(valid(contracts=contracts), "x")
    else:
        assert words in refusal(contracts=contracts)


def test_more_alternatives_than_are_asked_for_cannot_be_relied_on() -> None:
    values = valid(contracts=file(min_k=10))
    values["tiers"]["cheap"]["top_logprobs"] = 5
    with pytest.raises(SettingsError, match=r"min_k \(10\) for cheap-model is more than its top_logprobs \(5\)"):
        check_settings(values, "x")


def test_a_run_cannot_be_longer_than_the_window() -> None:
    assert "run cannot be longer than window" in refusal(guards={"window": 20, "run": 30})
    assert "unknown key guards.windows" in refusal(guards={"windows": 20})


def test_a_variable_may_say_what_happens_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEDGEROW_CONTRACTS_AT_START", "warn")
    monkeypatch.setenv("HEDGEROW_GUARDS__TRIAL_EVERY_S", "5")
    settings = check_settings(valid(), "x")
    assert (settings.contracts_at_start, settings.guards.trial_every_s) == ("warn", 5.0)


def test_a_file_that_is_away_or_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"contracts file .*away\.yaml"):
        load_contracts(tmp_path / "away.yaml")
    path = tmp_path / "contracts.yaml"
    path.write_text("contracts: none\n")
    with pytest.raises(SettingsError, match=r"contracts\.yaml: contracts"):
        load_contracts(path)


def test_the_example_can_be_used() -> None:
    contracts = load_contracts(EXAMPLE)
    assert [(each.tier, each.model) for each in contracts.contracts] == [("cheap", "gpt-4o-mini"), ("big", "gpt-4o")]
    [exception] = contracts.exceptions
    assert exception.owner
    assert exception.reasons == {"logprobs_null"}
