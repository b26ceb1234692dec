"""Where redaction happens: once on each way out, by the one setting."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.agents.paid_trials import PaidTrials
from streams.agents.tier_model import TierModel
from streams.core.policy.fitted import FittedTier
from streams.core.policy.policy import Policy
from streams.core.signal.instructions import Prompt
from streams.core.signal.perplexity import PerplexityRule
from streams.errors import SettingsError
from streams.models.endpoint import Endpoint
from streams.models.outlook import Outlook
from streams.models.perplexity import PerplexityClient, PromptEndpoint
from streams.observability.logs import RedactedLines
from streams.settings import Settings, check_settings
from streams.worker.start_checks import check_policy
from streams.worker.worker import Worker
from tests.unit.core.policy.test_fitted import FITTED

TIER: dict[str, Any] = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}


def settings(**more: Any) -> Settings:
    return check_settings({"labels": ["a", "b"], "tiers": {"cheap": TIER, "big": TIER}} | more, "x")


def test_it_is_off_unless_asked_for_and_only_what_exists_can_be_asked_for() -> None:
    assert settings().redact == ()
    assert settings(redact=["email", "card", "phone"]).redact == ("email", "card", "phone")
    with pytest.raises(SettingsError, match=r"redact\.0"):
        settings(redact=["name"])


@pytest.mark.parametrize("tier", ["cheap", "big"])
async def test_both_tiers_are_asked_with_it(tier: Any) -> None:
    async with AsyncExitStack() as stack:
        model = await Worker(settings(redact=["card"]), ["classify"])._client(tier, Outlook(), stack)
        assert isinstance(model, PaidTrials)
        assert isinstance(model._model, TierModel)
        assert model._model._client.prompt_hash == Prompt(("a", "b"), redact=("card",)).hash


async def test_the_perplexity_of_the_redacted_text_is_measured() -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        return httpx.Response(400)

    endpoint = PromptEndpoint(endpoint=Endpoint(**TIER))
    transport = httpx.MockTransport(answer)
    async with PerplexityClient(endpoint, PerplexityRule(), redact=("email",), transport=transport) as client:
        await client.measure("Please write to ann@example.com about it, " * 10)
    assert b"[email]" in asked[0]
    assert b"ann@" not in asked[0]


def test_a_policy_that_was_fitted_on_other_texts_is_refused() -> None:
    """The model sees something else, so what was measured of its doubt may not hold."""
    plain = {"model_asked": TIER["model"], "model_returned": None, "prompt_hash": Prompt(("a", "b")).hash}
    tiers = {tier: FittedTier.model_validate(plain) for tier in ("cheap", "big")}
    policy = Policy(fitted=FITTED.model_copy(update={"labels": ("a", "b"), **tiers}))
    check_policy(policy, settings())
    with pytest.raises(SettingsError, match="prompt"):
        check_policy(policy, settings(redact=["email"]))


def test_a_line_keeps_what_is_no_text_and_its_time() -> None:
    line = {
        "event": "from ann@example.com",
        "offset": 4111111111111111,
        "left": None,
        "timestamp": "2026-01-02T03:04:05",
    }
    kept: object = Path("/srv/hedgerow")
    redacted = RedactedLines(["email", "card", "phone"])(None, "info", {**line, "path": kept})
    assert redacted == {**line, "event": "from [email]", "path": kept}
    assert RedactedLines([])(None, "info", line) == line
