"""An endpoint asked for the logprobs of a text: the three ways to ask, what came of it, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import httpx
import pytest

from schemas import Call, Classification, Measured, NoPerplexity, Review, Scored, TextPerplexity, Ticket, Unmeasured
from streams.agents.perplexity import WithPerplexity
from streams.core.policy.policy import Policy
from streams.core.signal.perplexity import PerplexityRule
from streams.errors import SettingsError, StopWorker
from streams.models.endpoint import Endpoint
from streams.models.perplexity import PerplexityClient, PromptEndpoint
from streams.observability.metrics import MetricsObserver
from streams.settings import check_settings
from tests.support.handlers import AskedModel, score

TEXT = "My refund is late"
PIECES = ["My", " refund", " is", " late"]
RULE = PerplexityRule(min_tokens=2, window_tokens=2, usual=3.0, high=5.0)
USAGE = {"prompt_tokens": 4, "completion_tokens": 1}


def echo(logprob: float = -2.0) -> dict[str, Any]:
    logprobs = {"tokens": [*PIECES, "!"], "token_logprobs": [None, logprob, logprob, logprob, -0.1]}
    return {"model": "m-1", "choices": [{"text": "", "logprobs": logprobs}], "usage": USAGE}


async def ask(
    *replies: httpx.Response | Exception, api: Literal["echo", "vllm", "mistral"] = "echo", text: str = TEXT
) -> tuple[TextPerplexity, Sequence[httpx.Request]]:
    requests: list[httpx.Request] = []
    waiting = list(replies)

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        reply = waiting.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    endpoint = Endpoint(base_url="http://model.test/v1", model="gpt-4o-mini")
    asked = PromptEndpoint(endpoint=endpoint, api=api)
    async with PerplexityClient(asked, RULE, transport=httpx.MockTransport(handle)) as client:
        return await client.measure(text), requests


def ok(body: Any) -> httpx.Response:
    return httpx.Response(200, json=body)


@pytest.mark.parametrize(
    ("api", "path", "expected"),
    [
        ("echo", "/v1/completions", {"prompt": TEXT, "echo": True, "logprobs": 1}),
        ("vllm", "/v1/completions", {"prompt": TEXT, "prompt_logprobs": 1, "return_token_ids": True}),
        (
            "mistral",
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": TEXT}], "prompt_logprobs": True},
        ),
    ],
)
async def test_each_api_is_asked_in_its_own_way(
    api: Literal["echo", "vllm", "mistral"], path: str, expected: dict[str, Any]
) -> None:
    _, (request,) = await ask(ok({}), api=api)
    assert request.url.path == path
    common = {"model": "gpt-4o-mini", "temperature": 0, "max_tokens": 1}
    assert json.loads(request.content) == common | expected


async def test_a_measurement_names_the_model_and_its_cost() -> None:
    found, _ = await ask(ok(echo()))
    assert found.result == Measured(tokens=3, mean=2.0, window=2.0, window_tokens=2)
    assert (found.model_asked, found.model_returned) == ("gpt-4o-mini", "m-1")
    (attempt,) = found.attempts
    assert attempt.outcome == "ok"
    assert attempt.cost_usd == pytest.approx((4 * 0.15 + 0.60) / 1e6)


async def test_a_server_that_ignores_the_echo_gives_no_signal_and_is_paid_all_the_same() -> None:
    entry = {"token": " I", "logprob": -1.0, "bytes": None, "top_logprobs": []}
    body = {"choices": [{"text": " I", "logprobs": {"content": [entry]}}], "usage": USAGE}
    found, _ = await ask(ok(body))
    assert isinstance(found.result, Unmeasured)
    assert found.result.reason is NoPerplexity.NOT_THE_PROMPT
    (attempt,) = found.attempts
    assert attempt.outcome == "not_the_prompt"
    assert attempt.cost_usd > 0


async def test_a_text_that_must_be_too_short_is_not_asked_about() -> None:
    found, requests = await ask(text=" x ")
    assert isinstance(found.result, Unmeasured)
    assert found.result.reason is NoPerplexity.TOO_SHORT
    assert (list(requests), found.attempts) == ([], ())


@pytest.mark.parametrize(
    ("status", "message", "expected"),
    [
        (400, "prompt_logprobs is not supported", NoPerplexity.CAPABILITY),
        (400, "maximum context length", NoPerplexity.REQUEST_REFUSED),
    ],
)
async def test_a_refusal_has_its_reason(status: int, message: str, expected: NoPerplexity) -> None:
    found, _ = await ask(httpx.Response(status, json={"error": {"message": message}}))
    assert isinstance(found.result, Unmeasured)
    assert found.result.reason is expected


async def test_an_outage_is_tried_again_and_then_no_signal() -> None:
    busy = {"retry-after": "0.2"}
    found, requests = await ask(*[httpx.Response(503, headers=busy) for _ in range(4)])
    assert isinstance(found.result, Unmeasured)
    assert found.result.reason is NoPerplexity.NO_ANSWER
    assert len(requests) == len(found.attempts) == 4


async def test_a_key_that_is_not_taken_stops_the_worker() -> None:
    with pytest.raises(StopWorker):
        await ask(httpx.Response(401, json={"error": {"message": "no"}}))


SIGNAL = Scored(
    label="refund", confidence=0.97, entropy=0.1, token_confidence=0.97, token_entropy=0.1, top_k_mass=1.0, k=20,
    label_probs={"refund": 0.97, "other": 0.03}, out_of_label=0.0, margin=0.94, min_logprob=-0.03, mean_logprob=-0.03,
)  # fmt: skip
CALL = Call(tier="cheap", model_asked="m", prompt_hash="h", signal=SIGNAL)


async def test_a_strange_text_goes_to_a_person_however_sure_the_model_is() -> None:
    async def label(_: str) -> Call:
        return CALL

    async def strange(_: str) -> TextPerplexity:
        return (await ask(ok(echo(-9.0))))[0]

    call = await WithPerplexity(AskedModel("cheap", label), strange).ask(Ticket(ticket_id="t", text=TEXT))
    assert call.cost_usd > CALL.cost_usd, "its cost is the ticket's"
    message = Classification(ticket=Ticket(ticket_id="t", text=TEXT), call=call)
    assert Classification.decode(message.encode()) == message
    (review,) = score(Policy(perplexity=RULE), 2)(message)
    assert isinstance(review, Review)
    assert review.reasons == ("perplexity_high",)
    assert review.calls[0].perplexity == call.perplexity, "a person sees the numbers"
    (accepted,) = score(Policy(), 2)(message)
    assert not isinstance(accepted, Review), "without a rule it is measured only"


async def test_its_attempts_and_cost_are_counted_apart_from_the_tiers() -> None:
    async def label(_: str) -> Call:
        return CALL

    async def usual(_: str) -> TextPerplexity:
        return (await ask(ok(echo())))[0]

    call = await WithPerplexity(AskedModel("cheap", label), usual).ask(Ticket(ticket_id="t", text=TEXT))
    observer = MetricsObserver()
    observer.handled("classify", [Classification(ticket=Ticket(ticket_id="t", text=TEXT), call=call)], 0.1)
    labels = {"tier": "perplexity", "outcome": "ok"}
    assert observer.registry.get_sample_value("hedgerow_model_attempts_total", labels) == 1.0
    cost = observer.registry.get_sample_value("hedgerow_model_cost_usd_total", {"tier": "perplexity"})
    assert cost == pytest.approx(call.cost_usd)


def settings(**changes: Any) -> dict[str, Any]:
    tier = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
    return {"labels": ["a", "b"], "tiers": {"cheap": tier, "big": tier}} | changes


def test_a_rule_that_nobody_measures_for_is_refused() -> None:
    endpoint = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
    rule = {"perplexity": {"usual": 3.0, "high": 5.0}}
    with pytest.raises(SettingsError, match=r"policy\.perplexity needs the section perplexity"):
        check_settings(settings(policy=rule), "file")
    checked = check_settings(settings(policy=rule, perplexity={"endpoint": endpoint, "api": "vllm"}), "file")
    assert checked.perplexity is not None
    assert check_settings(settings(), "file").perplexity is None


def test_an_endpoint_for_perplexity_has_less_patience_than_the_handler() -> None:
    endpoint = {"base_url": "http://model.test/v1", "model": "gpt-4o-mini"}
    unpriced = settings(perplexity={"endpoint": endpoint | {"model": "mine"}}, messages={"write": 2})
    assert check_settings(unpriced, "file").unpriced == {"perplexity.endpoint": "mine"}
    with pytest.raises(SettingsError, match=r"perplexity\.endpoint\.deadline_s"):
        check_settings(settings(perplexity={"endpoint": endpoint | {"deadline_s": 500.0}}), "file")
