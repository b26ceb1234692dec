"""One probe of an endpoint against its contract."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import stamina

from schemas import Reason
from streams.core.guards.contract import Terms
from streams.core.signal.labels import LabelSet
from streams.errors import StopWorker
from streams.models.classifier import ModelClient
from streams.models.contract_check import Probed, probe
from streams.models.endpoint import Endpoint
from tests.support.bodies import Tok, chat
from tests.support.contracts import terms

GOOD = chat([Tok("refund", 0.9, {"shipping": 0.06, "account": 0.03, "a": 0.001, "b": 0.001})])
ENDPOINT = Endpoint(base_url="http://model.test/v1", model="gpt-4o-mini", attempts=1)


@pytest.fixture(autouse=True)
def no_waiting() -> None:
    stamina.set_testing(True, attempts=1)
    yield
    stamina.set_testing(False)


def client(response: httpx.Response) -> ModelClient:
    transport = httpx.MockTransport(lambda _: httpx.Response(response.status_code, content=response.content))
    return ModelClient("cheap", ENDPOINT, LabelSet(["refund", "shipping", "account"]), transport=transport)


async def probed(body: Any, of: Terms | None = None) -> Probed:
    async with client(body if isinstance(body, httpx.Response) else httpx.Response(200, json=body)) as asked:
        return await probe(asked, of or terms())


async def test_an_endpoint_that_keeps_its_contract() -> None:
    kept = await probed({**GOOD, "model": "cheap-model-2026-08-01"})
    assert kept.breaches == ()
    assert kept.answered


async def test_one_that_breaks_it() -> None:
    broken = await probed({**GOOD, "model": "another", "usage": None}, terms(min_k=6))
    assert [breach.name for breach in broken.breaches] == ["k_below_minimum", "model_not_allowed", "usage_missing"]


async def test_an_answer_that_tells_nothing_is_no_proof() -> None:
    refusal = {"choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}], "model": "m"}
    assert [breach.name for breach in (await probed(refusal, Terms())).breaches] == ["refused"]


async def test_no_answer_is_neither_kept_nor_broken() -> None:
    away = await probed(httpx.Response(503, json={"error": {"message": "overloaded"}}))
    assert not away.answered
    assert [breach.name for breach in away.breaches] == ["no_answer"]


async def test_a_wrong_key_stops() -> None:
    with pytest.raises(StopWorker):
        await probed(httpx.Response(401, json={"error": {"message": "bad key"}}))


async def test_a_call_that_is_not_made_costs_nothing() -> None:
    async with client(httpx.Response(200)) as asked:
        call = asked.unasked(Reason.BREAKER_OPEN, "not asked")
    assert (call.tier, call.model_asked, call.prompt_hash) == ("cheap", "gpt-4o-mini", asked.prompt_hash)
    assert (call.cost_usd, call.attempts, call.signal.label) == (0.0, (), None)
