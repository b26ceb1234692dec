"""What hedgerow init writes is read by the real loaders, and asks each provider for what it gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from schemas import Scored, Tier
from streams.cli.starter import KNOWN_LABELS, PROVIDERS, ProviderName, placeholder, starter_files
from streams.core.policy.policy import decide_big
from streams.core.signal.score import score
from streams.kafka.ticket_rows import Refusals, good_rows
from streams.models.classifier import ModelClient, chat_request
from streams.models.contract_check import Probed, probe
from streams.models.probed_endpoint import load_endpoints
from streams.sandbox.model_server.requests import ChatRequest
from streams.sandbox.model_server.service import ModelService
from streams.sandbox.model_server.trained import trained_models
from streams.sandbox.model_server.training import TrainedModels, read_training_set
from streams.sandbox.tickets import TRAIN
from streams.settings import Settings, load_contracts, load_settings
from tests.support import bodies
from tests.support.bodies import Body, Tok

LABELS = {"refund": "Wants money back.", "shipping": "Where is it: late, or lost?"}
#: The fields of an answer and the most alternatives, as the providers' own documents and recorded answers have them.
MOST_ALTERNATIVES = 20
RETURNED = {
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4o": "gpt-4o-2024-08-06",
    "sandbox-cheap": "sandbox-cheap-2026-08-01",
    "sandbox-big": "sandbox-big-2026-08-01",
}


@pytest.fixture(params=get_args(ProviderName))
def provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ProviderName:
    name: ProviderName = request.param
    if key := PROVIDERS[name].key:
        monkeypatch.setenv(key, "sk-0123456789abcdef0123")
    return name


def written(
    folder: Path, provider: ProviderName, labels: dict[str, str] = LABELS, *, aliases: bool = False
) -> Settings:
    for name, content in starter_files(provider, labels, aliases=aliases).items():
        (folder / name).write_text(content, encoding="utf-8")
    return load_settings(folder / "hedgerow.yaml")


def answered(request: httpx.Request, provider: ProviderName) -> httpx.Response:
    """Answer as the provider does; only what differs between them is here."""
    asked = json.loads(request.content)
    assert request.url.path.endswith("/v1/chat/completions")
    if asked["top_logprobs"] > MOST_ALTERNATIVES:
        return httpx.Response(400, json={"error": {"message": "top_logprobs must be at most 20"}})
    others = {f"other{number}": 0.005 for number in range(asked["top_logprobs"] - 2)}
    token = Tok("refund", 0.8, {"shipping": 0.05} | others)
    body: Body = bodies.vllm([token], "refund") if provider == "vllm" else bodies.chat([token])
    body["model"] = RETURNED.get(asked["model"], asked["model"])
    if provider == "openrouter" and not asked.get("provider", {}).get("require_parameters"):
        del body["choices"][0]["logprobs"]
    if provider in {"vllm", "ollama"}:
        body["system_fingerprint"] = None
    return httpx.Response(200, json=body)


async def checked(settings: Settings, tier: Tier, transport: httpx.MockTransport) -> Probed:
    endpoint = settings.tiers.of(tier)
    assert settings.contracts is not None
    contract = settings.contracts.contract(tier, endpoint.model)
    assert contract is not None
    async with ModelClient(tier, endpoint, settings.label_set, prompt=settings.prompt, transport=transport) as client:
        return await probe(client, contract)


def test_every_file_is_read_by_its_loader(provider: ProviderName, tmp_path: Path) -> None:
    settings = written(tmp_path, provider)
    assert settings.prompt.descriptions == tuple(LABELS.values())
    assert load_contracts(tmp_path / "contracts.yaml") == settings.contracts
    assert load_endpoints(tmp_path / "endpoints.yaml") == settings.endpoints
    # A change of either tier's model is noticed.
    assert (settings.probed_names("cheap"), settings.probed_names("big")) == (("cheap",), ("big",))


def test_the_values_are_the_defaults_that_the_comments_explain(provider: ProviderName, tmp_path: Path) -> None:
    settings = written(tmp_path, provider)
    defaults = Settings(labels=settings.labels, tiers=settings.tiers)
    assert settings.policy == defaults.policy
    assert settings.metrics == defaults.metrics
    assert settings.worker.in_flight >= settings.tiers.cheap.concurrency


@pytest.mark.parametrize("tier", ["cheap", "big"])
async def test_the_contract_is_kept_by_what_the_provider_answers(
    provider: ProviderName, tier: Tier, tmp_path: Path
) -> None:
    settings = written(tmp_path, provider)
    probed = await checked(settings, tier, httpx.MockTransport(lambda request: answered(request, provider)))
    assert probed.breaches == ()
    assert isinstance(probed.call.signal, Scored)
    assert probed.call.signal.k == 20


async def test_the_contract_is_broken_by_answers_without_logprobs_and_by_other_models(
    provider: ProviderName, tmp_path: Path
) -> None:
    settings = written(tmp_path, provider)

    def bare(request: httpx.Request) -> httpx.Response:
        body: dict[str, Any] = json.loads(answered(request, provider).content)
        body["choices"][0]["logprobs"] = None
        return httpx.Response(200, json=body | {"model": "another"})

    probed = await checked(settings, "cheap", httpx.MockTransport(bare))
    assert {breach.name for breach in probed.breaches} == {"logprobs_null", "model_not_allowed"}


def test_the_big_openai_contract_does_not_allow_the_small_model(tmp_path: Path) -> None:
    settings = written(tmp_path, "openai")
    assert settings.contracts is not None
    big = settings.contracts.contract("big", "gpt-4o")
    assert big is not None
    assert big.allows("gpt-4o-2024-08-06")
    assert not big.allows("gpt-4o-mini-2024-07-18")


def test_openrouter_is_pinned_to_one_host_in_the_tiers_and_the_probes(tmp_path: Path) -> None:
    settings = written(tmp_path, "openrouter")
    assert settings.endpoints is not None
    for endpoint in (settings.tiers.cheap, settings.tiers.big, *settings.endpoints.endpoints):
        assert endpoint.extra["provider"] == {
            "order": ["openai"],
            "allow_fallbacks": False,
            "require_parameters": True,
        }


def test_variables_are_all_there_and_without_a_value(provider: ProviderName, tmp_path: Path) -> None:
    settings = written(tmp_path, provider)
    variables = (tmp_path / ".env.example").read_text(encoding="utf-8")
    assert settings.endpoints is not None
    named = {endpoint.api_key_env for endpoint in (settings.tiers.cheap, settings.tiers.big)}
    assert {endpoint.api_key_env for endpoint in settings.endpoints.endpoints} == named
    assert {name or None for name in re.findall(r"^(\w+)=$", variables, re.MULTILINE)} == named - {None}
    assert not re.search(r"^\w+=.", variables, re.MULTILINE)


@pytest.mark.parametrize(
    "label",
    [
        "yes",
        "no",
        "404",
        "null",
        "a: b",
        "#1",
        "Übergabe",
        "退款",
        '"quoted"',
        "it's",
        "-",
        "a,b",
        "feature_request",
        "1e3",
    ],
)
def test_every_name_and_description_is_read_back_as_it_was_given(label: str, tmp_path: Path) -> None:
    labels = {label: f"{label}: {label} # {label}", "other": placeholder(label)}
    settings = written(tmp_path, "sandbox", labels, aliases=True)
    assert settings.labels == labels
    assert settings.label_aliases


def test_the_sample_tickets_can_be_produced_and_carry_the_labels(tmp_path: Path) -> None:
    written(tmp_path, "sandbox", KNOWN_LABELS | {"feature_request": "An idea."})
    lines = (tmp_path / "tickets.jsonl").read_bytes().splitlines()
    refusals = Refusals()
    assert len(list(good_rows(enumerate(lines, 1), refusals))) == len(lines) == 8
    assert refusals.count == 0
    assert [json.loads(line).get("label") for line in lines] == [*KNOWN_LABELS, "feature_request", None]


@pytest.mark.parametrize("more", [{}, {"outages": placeholder("outages")}], ids=["learnt", "not learnt"])
async def test_the_sandbox_answers_each_sample_ticket_with_its_label(
    more: dict[str, str], trained: TrainedModels, tmp_path: Path
) -> None:
    settings = written(tmp_path, "sandbox", KNOWN_LABELS | more)
    cheap, big = trained_models(trained)
    service = ModelService((cheap, big), trained.labels)
    for line in (tmp_path / "tickets.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        body = chat_request(settings.tiers.big, settings.prompt, row["text"])
        answer = await service.chat(ChatRequest.parse(json.loads(json.dumps(body))), big)
        reading = score(json.dumps(answer), settings.label_set)
        assert isinstance(reading.signal, Scored)
        action = decide_big(settings.policy, reading.signal.label, reading).action
        assert (action, reading.signal.label) == ("accept", row["label"]) if "label" in row else action == "review"


def test_the_known_labels_are_those_that_the_sandbox_learnt() -> None:
    assert set(KNOWN_LABELS) == set(read_training_set(TRAIN).labels)
