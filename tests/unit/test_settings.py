"""Settings: what is taken, and that everything else is one line that names the key and never shows a secret."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from pydantic import ValidationError

from schemas import WireFormat
from streams.agents.registry import AGENTS
from streams.core.policy.policy import CheapRule, Policy
from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.errors import SettingsError
from streams.settings import Settings, check_settings, load_policy, load_settings
from tests.support.contracts import EXCEPTION, PAPER

SECRET = "hunter2-secret"
Values = dict[str, Any]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("HEDGEROW_"):
            monkeypatch.delenv(name)


def valid() -> Values:
    tier = {"base_url": "http://127.0.0.1:1/v1"}
    return {
        "labels": ["refund", "shipping"],
        "tiers": {"cheap": {**tier, "model": "gpt-4o-mini"}, "big": {**tier, "model": "gpt-4o"}},
    }


def changed(path: str, value: Any) -> Values:
    values: Values = valid()
    place: Any = values
    *way, last = path.split(".")
    for key in way:
        place = place.setdefault(key, {})
    place[last] = value
    return values


def refusal(values: Values) -> str:
    with pytest.raises(SettingsError) as caught:
        check_settings(values, "hedgerow.yaml")
    return one_line(caught.value)


def one_line(error: SettingsError) -> str:
    text = str(error)
    assert len(text.splitlines()) == 1
    assert len(text) < 400
    return text


def file_refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    return one_line(caught.value)


class TestValues:
    def test_the_least_that_is_needed_and_the_defaults(self) -> None:
        settings = check_settings(valid(), "x")
        assert settings.label_set.labels == ("refund", "shipping")
        assert settings.policy == Policy()
        assert (settings.topics.partitions, settings.worker.in_flight, settings.metrics.port) == (8, 160, None)
        assert AGENTS == ("classify", "score", "escalate", "review")

    def test_are_frozen(self) -> None:
        settings = check_settings(valid(), "x")
        for section, key in ((settings, "labels"), (settings.broker, "bootstrap"), (settings.tiers.cheap, "model")):
            with pytest.raises(ValueError, match="frozen"):
                setattr(section, key, "other")

    def test_survive_a_file(self, tmp_path: Path) -> None:
        """A demo hands its workers the settings this way."""
        settings = check_settings(valid() | {"policy": {"cheap": {"abstain_entropy": 0.5}}}, "x")
        path = tmp_path / "hedgerow.yaml"
        path.write_text(yaml.safe_dump(settings.model_dump(mode="json")), encoding="utf-8")
        assert load_settings(path) == settings

    @pytest.mark.parametrize(
        "path",
        [
            "lables", "broker.bootstrapp", "topics.partition", "tiers.medium", "tiers.cheap.modell", "tiers.big.api_key",
            "policy.ceap", "policy.cheap.min_confidense", "policy.big.abstain_entropy", "review.uri", "metrics.prt",
            "worker.inflight",
        ],
    )  # fmt: skip
    def test_an_unknown_key_is_named_at_every_level(self, path: str) -> None:
        text = refusal(changed(path, SECRET))
        assert f"hedgerow.yaml: unknown key {path}" in text
        assert SECRET not in text

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("lables", "labels"), ("broker.bootstrapp", "bootstrap"), ("tiers.cheap.modle", "model"),
            ("tiers.cheap.outage.mod", "mode"), ("policy.cheap.min_confidense", "min_confidence"),
            ("worker.inflight", "in_flight"), ("guards.windows", "window"), ("endpoints.endpoint", "endpoints"),
        ],
    )  # fmt: skip
    def test_an_unknown_key_comes_with_the_one_that_was_meant(self, path: str, meant: str) -> None:
        assert f"unknown key {path}; did you mean {meant}?" in refusal(changed(path, 1))

    def test_a_misspelt_key_is_named_before_the_one_that_is_missing_for_it(self) -> None:
        values = valid()
        values["tiers"]["big"]["modle"] = values["tiers"]["big"].pop("model")
        assert refusal(values).endswith("unknown key tiers.big.modle; did you mean model? (and 1 more)")

    @pytest.mark.parametrize(
        ("path", "sections"),
        [
            ("outage", "tiers.cheap or tiers.big"),
            ("hold_s", "tiers.cheap.outage or tiers.big.outage"),
            ("max_usd_per_hour", "guards"),
            ("tiers.cheap.remember_ids", "worker"),
        ],
    )
    def test_a_key_in_the_wrong_section_is_pointed_to_its_own(self, path: str, sections: str) -> None:
        assert refusal(changed(path, 1)).endswith(f"unknown key {path}; it belongs to {sections}")

    def test_a_key_like_no_other_comes_without_a_guess(self) -> None:
        assert refusal(valid() | {"xyz": 1}) == "hedgerow.yaml: unknown key xyz"

    def test_a_secret_in_the_file_is_shown_the_way_out(self) -> None:
        text = refusal(changed("tiers.cheap.api_key", SECRET))
        assert text.endswith("name the environment variable that holds it: api_key_env")
        assert SECRET not in text

    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            ("tiers.cheap.base_url", "127.0.0.1:8000/v1", "a URL that begins with http:// or https:// is expected"),
            ("tiers.cheap.api_key_env", "sk-123", "the name of an environment variable is expected"),
            ("metrics", [9100], "a mapping of keys and values is expected"),
        ],
    )
    def test_a_value_of_another_form_is_refused_in_plain_words(self, path: str, value: Any, words: str) -> None:
        said = refusal(changed(path, value))
        assert f"{path}: {words}" in said
        assert "sk-123" not in said

    @pytest.mark.parametrize("key", ["_cli_parse_args", "_env_file", "_secrets_dir", "self", 7])
    def test_a_key_that_means_something_to_pydantic_is_unknown_too(self, key: Any) -> None:
        assert f"unknown key {key}" in refusal(valid() | {key: True})

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("broker.bootstrap", ""),
            ("broker.bootstrap", None),
            ("broker.session_timeout_s", 0),
            ("broker.commit_interval_s", -1),
            ("broker.heartbeat_s", float("nan")),
            ("broker.heartbeat_s", float("inf")),
            ("broker.heartbeat_s", 10),
            ("broker", "localhost:9092"),
            ("broker", None),
            ("topics.prefix", "a b"),
            ("topics.prefix", "a/b"),
            ("topics.prefix", "p" * 101),
            ("topics.partitions", 0),
            ("topics.partitions", 1.5),
            ("topics.replication", 11),
            ("labels", "refund"),
            ("labels", 7),
            ("labels", [True, False]),
            ("tiers.cheap.base_url", "localhost:8000"),
            ("tiers.cheap.base_url", "http://host:99999/v1"),
            ("tiers.big.top_logprobs", 0),
            ("tiers.big.top_logprobs", 21),
            ("tiers.big.timeout_s", "fast"),
            ("tiers.big.input_usd_per_million", float("inf")),
            ("tiers.big.extra", {"top_logprobs": None}),
            ("tiers.cheap.deadline_s", 120),
            ("policy.basis", "logit"),
            ("policy.cheap.min_confidence", 1.5),
            ("policy.cheap.max_entropy", -1),
            ("policy.audit_share", "all"),
            ("policy.id", ""),
            ("review.url", ""),
            ("metrics.port", 65536),
            ("metrics.port", -1),
            ("worker.in_flight", 0),
            ("worker.handler_deadline_s", 0),
            ("worker.handler_attempts", 0),
            ("worker.stop_wait_s", float("inf")),
        ],
    )
    def test_an_impossible_value_names_its_key(self, path: str, value: Any) -> None:
        text = refusal(changed(path, value))
        assert text.startswith("hedgerow.yaml: ")
        assert path in text

    @pytest.mark.parametrize(
        "path", ["labels", "tiers", "tiers.cheap", "tiers.big", "tiers.cheap.base_url", "tiers.big.model"]
    )
    def test_what_is_missing_is_named(self, path: str) -> None:
        values = valid()
        place: Any = values
        *way, last = path.split(".")
        for key in way:
            place = place[key]
        del place[last]
        assert f"{path} is missing" in refusal(values)

    @pytest.mark.parametrize(
        ("labels", "word"),
        [
            ([], "two labels"),
            (["refund"], "two labels"),
            (["refund", "refund"], "twice"),
            (["refund", "Refund"], "case"),
            (["refund", ""], "empty"),
            (["refund", "refund status"], "beginning"),
            (["refund", "a\nb"], "one line"),
            (["refund", "x" * 257], "256"),
        ],
    )
    def test_labels_that_cannot_be_told_apart(self, labels: list[str], word: str) -> None:
        text = refusal(valid() | {"labels": labels})
        assert word in text
        assert "label" in text

    def test_a_model_without_a_price(self) -> None:
        unpriced = changed("tiers.big.model", "mine")
        assert check_settings(unpriced, "x").unpriced == {"tiers.big": "mine"}
        limited = unpriced | {"guards": {"max_usd_per_hour": 5}}
        assert "guards.max_usd_per_hour needs the price of every model, and has none of tiers.big (mine)" in refusal(
            limited
        )
        priced = changed("tiers.big.model", "mine")
        priced["tiers"]["big"] |= {"input_usd_per_million": 1, "output_usd_per_million": 2}
        assert check_settings(priced, "x").tiers.big.price.output == 2

    @pytest.mark.parametrize(
        ("path", "value", "words"),
        [
            ("labels", ["refund", "Refund"], "differ only in case"),
            ("policy.perplexity", {}, "policy.perplexity needs the section perplexity"),
            ("broker.heartbeat_s", 10, r"broker.heartbeat_s \(10\) must be less"),
            ("worker.stall_limit_s", 5, r"worker.stall_limit_s \(5\) must be more"),
            ("tiers.cheap.deadline_s", 120, r"tiers.cheap.deadline_s \(120\) must be less"),
            ("contracts", {"contracts": []}, "there is none for the cheap tier's gpt-4o-mini"),
        ],
    )
    def test_sections_that_do_not_fit_together_are_no_settings_however_they_are_made(
        self, path: str, value: Any, words: str
    ) -> None:
        with pytest.raises(ValidationError, match=words):
            Settings(**changed(path, value))
        with pytest.raises(SettingsError, match=rf"hedgerow\.yaml: .*{words}") as refused:
            check_settings(changed(path, value), "hedgerow.yaml")
        assert "Value error" not in one_line(refused.value)

    def test_messages_are_written_in_version_1_unless_the_file_says_otherwise(self) -> None:
        assert check_settings(valid(), "test").wire == WireFormat(1, "full")
        values = changed("messages.write", 2) | {"routed": {"calls": "none"}}
        assert check_settings(values, "test").wire == WireFormat(2, "none")

    def test_readers_of_version_1_need_the_calls(self) -> None:
        assert "routed.calls: summary needs messages.write: 2" in refusal(changed("routed.calls", "summary"))

    def test_several_faults_are_counted(self) -> None:
        values = changed("broker.bootstrap", "")
        values["topics"] = {"partitions": 0}
        assert "broker.bootstrap" in refusal(values)
        assert "(and 1 more)" in refusal(values)

    def test_a_wrong_number_is_shown(self) -> None:
        assert "(it is 0)" in refusal(changed("topics.partitions", 0))


class TestLabelsWithDescriptions:
    LABELS: ClassVar = {"shipping": "Where is it?", "refund": "Wants money back."}

    def test_are_names_everywhere_and_descriptions_in_the_prompt(self) -> None:
        settings = check_settings(valid() | {"labels": self.LABELS, "instructions": " Be strict.\n"}, "x")
        assert settings.label_set == LabelSet(["shipping", "refund"])
        assert settings.prompt == Prompt(
            ("shipping", "refund"),
            ("shipping", "refund"),
            descriptions=("Where is it?", "Wants money back."),
            instructions="Be strict.",
        )

    def test_aliases_stand_for_the_names(self) -> None:
        settings = check_settings(valid() | {"labels": self.LABELS, "label_aliases": True}, "x")
        assert settings.label_set.written == {"shipping": "A", "refund": "B"}
        assert "A = shipping, B = refund." in settings.prompt.system
        assert "- shipping: Where is it?" in settings.prompt.system

    def test_no_descriptions_are_the_same_as_a_list(self) -> None:
        bare = check_settings(valid() | {"labels": {"refund": None, "shipping": ""}}, "x")
        assert bare.prompt.hash == check_settings(valid(), "x").prompt.hash == "538d97dc505d"

    def test_exceptions_of_contracts_name_the_names(self) -> None:
        paper = PAPER | {"model": "gpt-4o-mini", "model_ids": ["gpt-*"]}
        papers = [paper, paper | {"tier": "big", "model": "gpt-4o"}]
        for label, fits in (("refund", True), ("Wants money back.", False)):
            exception = EXCEPTION | {"model": "gpt-4o-mini", "labels": [label]}
            values = valid() | {"labels": self.LABELS, "contracts": {"contracts": papers, "exceptions": [exception]}}
            if fits:
                check_settings(values, "x")
            else:
                assert "names unknown labels" in refusal(values)

    def test_keep_their_order_in_a_file(self, tmp_path: Path) -> None:
        settings = check_settings(valid() | {"labels": self.LABELS, "instructions": "Be strict."}, "x")
        path = tmp_path / "hedgerow.yaml"
        path.write_text(yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
        assert load_settings(path) == settings
        assert load_settings(path).prompt.hash == settings.prompt.hash

    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ({"refund": "two\nlines", "shipping": ""}, "one line"),
            ({"refund": "x" * 1001, "shipping": ""}, "at most 1000"),
            ({"refund": SECRET.encode(), "shipping": ""}, "one line"),
            ({True: "x", "shipping": ""}, "a name is a text"),
            ({"refund": "money"}, "two labels"),
            ("refund, shipping", "a list of names is expected, or a mapping"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, labels: Any, words: str) -> None:
        text = refusal(valid() | {"labels": labels})
        assert words in text
        assert SECRET not in text

    def test_a_variable_replaces_them_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HEDGEROW_LABELS", '{"a": "first", "b": "second"}')
        settings = check_settings(valid() | {"labels": self.LABELS}, "x")
        assert settings.labels == {"a": "first", "b": "second"}


class TestSecrets:
    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("tiers.cheap.api_key", SECRET),
            ("tiers.cheap.api_key_env", SECRET),
            ("tiers.cheap.base_url", f"https://user:{SECRET}@example.com"),
            ("tiers.cheap.base_url", f"https://example.com/v1?key={SECRET}"),
            ("tiers.cheap.base_url", f"postgres://{SECRET}"),
            ("tiers.cheap.extra", SECRET),
            ("tiers.cheap", SECRET),
            ("review", f"postgresql://user:{SECRET}@db/hedgerow"),
            ("review.url", [SECRET]),
            ("metrics.port", SECRET),
            ("labels", SECRET),
        ],
    )
    def test_never_stand_in_the_refusal(self, path: str, value: Any) -> None:
        text = refusal(changed(path, value))
        assert path in text
        assert SECRET not in text

    @pytest.mark.parametrize(
        "text",
        [
            f'tiers:\n  cheap:\n    api_key: "{SECRET}\nlabels: []\n',
            f"tiers: {{cheap: {SECRET}",
            f"password: {SECRET}: x: y",
            f"key: !{SECRET} {SECRET}x",
            f"\tkey: {SECRET}",
        ],
    )
    def test_never_stand_in_what_is_said_of_broken_yaml(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "hedgerow.yaml"
        path.write_text(text.replace(f"!{SECRET}", "!tag"), encoding="utf-8")
        assert SECRET not in file_refusal(path)


class TestFiles:
    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "a mapping is expected, not NoneType"),
            (b"[1, 2]", "a mapping is expected, not list"),
            (b"just text", "a mapping is expected, not str"),
            (b"a: [1", "invalid YAML in line"),
            (b"a: b: c", "invalid YAML in line 1"),
            (b"\xff\xfe\xfd", "its byte order mark says UTF-16 LE"),
            (b"\xfd\xff", "invalid YAML"),
            (b"a: 2026-13-45", "invalid YAML"),
            (b"a: \x01", "invalid YAML"),
            (b"a: !!python/object:os.system {}", "invalid YAML in line 1"),
            (b"a: " + b"[" * 50_000, "invalid YAML"),
            (b"1: 2", "unknown key 1"),
            (b"labels: {a: first, b: x,\n  a: second}", "invalid YAML in line 2, column 3: this key is there twice"),
            (b"labels: [a, b]\nlabels: [c, d]", "invalid YAML in line 2, column 1: this key is there twice"),
            (b"x: &x {a: 1}\ny: {<<: *x, a: 2}", "unknown key x"),
            (b"labels: [a, b]", "tiers is missing"),
        ],
    )
    def test_what_is_no_settings_file(self, tmp_path: Path, data: bytes, words: str) -> None:
        path = tmp_path / "hedgerow.yaml"
        path.write_bytes(data)
        text = file_refusal(path)
        assert "hedgerow.yaml" in text
        assert words in text

    def test_a_file_that_is_away_or_a_folder(self, tmp_path: Path) -> None:
        assert "No such file" in file_refusal(tmp_path / "away.yaml")
        assert "directory" in file_refusal(tmp_path)

    def test_a_policy_by_the_name_of_its_file(self, tmp_path: Path) -> None:
        write(tmp_path / "strict.yaml", {"id": "strict", "cheap": {"min_confidence": 0.9}})
        settings = load_settings(write(tmp_path / "hedgerow.yaml", valid() | {"policy": "strict.yaml"}))
        assert settings.policy == Policy(id="strict", cheap=CheapRule(min_confidence=0.9))

    @pytest.mark.parametrize(
        ("policy", "words"),
        [
            ({"ids": "x"}, "unknown key ids"),
            ({"cheap": {"max_entropie": 1}}, "did you mean max_entropy"),
            ({"cheap": {"max_entropy": -1}}, "cheap.max_entropy"),
            ([], "mapping"),
        ],
    )
    def test_a_fault_in_the_policy_names_the_policys_file(self, tmp_path: Path, policy: Any, words: str) -> None:
        write(tmp_path / "strict.yaml", policy)
        text = file_refusal(write(tmp_path / "hedgerow.yaml", valid() | {"policy": "strict.yaml"}))
        assert "strict.yaml" in text
        assert words in text
        with pytest.raises(SettingsError, match=r"strict\.yaml"):
            load_policy(tmp_path / "strict.yaml")

    def test_a_policy_that_is_away(self, tmp_path: Path) -> None:
        text = file_refusal(write(tmp_path / "hedgerow.yaml", valid() | {"policy": "away.yaml"}))
        assert "policy file" in text
        assert "away.yaml" in text


class TestEnvironment:
    def load(self, monkeypatch: pytest.MonkeyPatch, values: Values | None = None, **variables: str) -> Settings:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return check_settings(values or valid(), "hedgerow.yaml")

    def test_overrides_the_file_and_leaves_the_rest_of_its_section(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = valid() | {"broker": {"bootstrap": "file:1", "commit_interval_s": 2}}
        settings = self.load(monkeypatch, values, HEDGEROW_BROKER__BOOTSTRAP="env:2")
        assert (settings.broker.bootstrap, settings.broker.commit_interval_s) == ("env:2", 2)
        assert settings.broker.heartbeat_s == 1.0

    def test_reaches_every_level(self, monkeypatch: pytest.MonkeyPatch) -> None:
        settings = self.load(
            monkeypatch,
            HEDGEROW_LABELS='["a", "b", "c"]',
            HEDGEROW_TIERS__CHEAP__MODEL="gpt-4.1",
            HEDGEROW_POLICY__CHEAP__ABSTAIN_ENTROPY="0.5",
            HEDGEROW_METRICS__PORT="9100",
        )
        assert settings.labels == ("a", "b", "c")
        assert settings.tiers.cheap.model == "gpt-4.1"
        assert settings.tiers.big.model == "gpt-4o"
        assert settings.policy.cheap == CheapRule(abstain_entropy=0.5)
        assert settings.metrics.port == 9100

    def test_leaves_the_rest_of_a_policy_that_stands_in_a_file_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        write(tmp_path / "strict.yaml", {"id": "strict", "cheap": {"min_confidence": 0.9}})
        monkeypatch.setenv("HEDGEROW_POLICY__CHEAP__MAX_ENTROPY", "0.5")
        settings = load_settings(write(tmp_path / "hedgerow.yaml", valid() | {"policy": "strict.yaml"}))
        assert settings.policy == Policy(id="strict", cheap=CheapRule(min_confidence=0.9, max_entropy=0.5))

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("HEDGEROW_BROKERS__BOOTSTRAP", "x:1", "unknown section brokers; did you mean broker?"),
            ("HEDGEROW_BROKER_BOOTSTRAP", "x:1", "write two underscores after BROKER"),
            ("HEDGEROW_BROKER__BOOTSTRAPP", "x:1", "unknown key broker.bootstrapp"),
            ("HEDGEROW_TOPICS__PARTITIONS", "many", "topics.partitions"),
            ("HEDGEROW_LABELS", "refund,shipping", "labels"),
            ("HEDGEROW_BROKER", "{", "broker"),
            ("HEDGEROW_POLICY", "strict.yaml", "policy"),
        ],
    )
    def test_a_variable_that_cannot_be_meant_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
    ) -> None:
        monkeypatch.setenv(name, value)
        assert words in refusal(valid())

    def test_other_variables_are_not_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {"HEDGEROW_CACHE": "/tmp/x", "HEDGEROW_KEY": "sk-1", "OTHER__BROKER": "x", "BROKER__BOOTSTRAP": "y"}
        assert self.load(monkeypatch, **variables).broker.bootstrap == "127.0.0.1:9092"


def write(path: Path, values: Any) -> Path:
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def test_delivery_is_at_least_once_unless_the_other_is_asked_for() -> None:
    assert check_settings(valid(), "hedgerow.yaml").delivery == "at_least_once"
    assert check_settings(changed("delivery", "exactly_once"), "hedgerow.yaml").delivery == "exactly_once"
    assert "delivery" in refusal(changed("delivery", "twice"))
