"""hedgerow prompt show: what it prints is what an endpoint receives from a worker's clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from streams.core.policy.policy import PerplexityRule
from streams.models.classifier import ModelClient
from streams.models.perplexity import PerplexityClient
from streams.settings import load_settings
from tests.support.commands import Hedgerow

TICKET = "Ann (ann@example.com): where is my order? 4111 1111 1111 1111"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    tier = {"base_url": "http://127.0.0.1:1/v1/", "attempts": 1}
    values = {
        "labels": {"refund": "Wants money back.", "shipping": "Where an order is."},
        "instructions": "Two problems: label the first.",
        "redact": ["email", "card"],
        "tiers": {
            "cheap": tier | {"model": "gpt-4o-mini", "extra": {"seed": 1}},
            "big": tier | {"model": "gpt-4o", "top_logprobs": 5, "max_tokens_field": "max_completion_tokens"},
        },
        "perplexity": {"endpoint": tier | {"model": "gpt-4o-mini"}, "api": "vllm"},
    }
    path = tmp_path / "hedgerow.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


async def test_each_request_is_byte_for_byte_what_a_worker_sends(
    config: Path, hedgerow: Hedgerow, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings(config)
    sent: list[dict[str, Any]] = []

    def receive(request: httpx.Request) -> httpx.Response:
        sent.append({"url": str(request.url), "body": json.loads(request.content)})
        return httpx.Response(500)

    transport = httpx.MockTransport(receive)
    for tier, endpoint in (("cheap", settings.tiers.cheap), ("big", settings.tiers.big)):
        async with ModelClient(
            tier, endpoint, settings.label_set, prompt=settings.prompt, transport=transport
        ) as client:
            await client.ask(TICKET)
    assert settings.perplexity is not None
    async with PerplexityClient(
        settings.perplexity, PerplexityRule(), redact=settings.redact, transport=transport
    ) as measured:
        await measured.measure(TICKET)
    printed = hedgerow("prompt", "show", "--config", config, "--ticket", TICKET, "--json").json
    assert [request.pop("to") for request in printed["requests"]] == ["cheap", "big", "perplexity"]
    assert printed["requests"] == sent
    assert printed["prompt_hash"] == settings.prompt.hash
    assert "ann@example.com" not in json.dumps(printed)
    assert "4111" not in json.dumps(printed)


def test_a_person_reads_the_messages_and_who_gets_them(config: Path, hedgerow: Hedgerow) -> None:
    said = hedgerow("prompt", "show", "--config", config, "--ticket", TICKET)
    assert said.code == 0
    lines = said.out.splitlines()
    assert "- refund: Wants money back." in lines
    assert "Two problems: label the first." in lines
    assert "Ann ([email]): where is my order? [card]" in lines
    assert [line.split()[:2] for line in lines[-3:-1]] == [
        ["cheap", "http://127.0.0.1:1/v1/chat/completions"],
        ["big", "http://127.0.0.1:1/v1/chat/completions"],
    ]
    assert lines[-1].startswith("perplexity http://127.0.0.1:1/v1/completions ")


def test_without_a_ticket_its_place_is_shown(config: Path, hedgerow: Hedgerow) -> None:
    assert "--- user\n(the ticket's text)\n" in hedgerow("prompt", "show", "--config", config).out


def test_what_a_terminal_obeys_is_not_printed(config: Path, hedgerow: Hedgerow) -> None:
    said = hedgerow("prompt", "show", "--config", config, "--ticket", "\x1b[2Jgone")
    assert "\x1b" not in said.out
