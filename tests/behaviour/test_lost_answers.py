"""A model server whose answers are lost on their way: the limit on money holds, by what the server counted."""

from __future__ import annotations

import asyncio
import time

from benchmarks.fleet import spent_usd
from schemas import Call, Reason
from streams.agents.guards import Clock, Guards
from streams.agents.tier_model import TierModel
from streams.core.guards import GuardLimits
from streams.core.signal.labels import LabelSet
from streams.models.classifier import ModelClient
from streams.models.endpoint import Endpoint
from streams.sandbox.model_server.process import ModelServer
from tests.support.messages import ticket

MOST_USD = 0.005
USD_PER_MILLION = 0.5


async def test_the_limit_holds_though_answers_are_cut_off(model_server: ModelServer) -> None:
    def reason(call: Call) -> Reason | None:
        return call.signal.reason if call.signal.status == "unscorable" else None

    clock = Clock(time.monotonic, lambda: time.time_ns() // 1_000_000)
    guards = Guards(None, GuardLimits(max_usd_per_hour=MOST_USD), None, clock)
    price = {"input_usd_per_million": USD_PER_MILLION, "output_usd_per_million": USD_PER_MILLION}
    endpoint = Endpoint(base_url=model_server.url, model="sandbox-cheap", attempts=2, **price)
    before_usd = spent_usd(await model_server.stats())
    await model_server.set_faults(["cut=0.4"])
    calls: list[Call] = []
    try:
        async with ModelClient("cheap", endpoint, LabelSet(tuple(model_server.labels))) as client:
            model = guards.guarded(TierModel(client, None), first_usd=0.001)

            async def ask_until_spent(number: int) -> None:
                while Reason.OVER_BUDGET not in map(reason, calls):
                    calls.append((await model.ask(ticket(ticket_id=f"{number}-{len(calls)}"))).call)

            await asyncio.gather(*(ask_until_spent(number) for number in range(16)))
    finally:
        await model_server.set_faults([])
    spent = spent_usd(await model_server.stats()) - before_usd
    known = sum(call.cost_usd or 0.0 for call in calls)
    assert 0.6 * MOST_USD < spent <= 1.02 * MOST_USD
    assert known < 0.8 * spent  # so much of it was lost
