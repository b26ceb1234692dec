"""What calls to one endpoint tell one another: a failed attempt is heard of at once, and nobody pauses for one that is down."""

from __future__ import annotations

import asyncio
import time

import httpx
import pytest

from schemas import Call
from streams.core.signal.labels import LabelSet
from streams.models.classifier import ModelClient
from streams.models.endpoint import Endpoint
from streams.models.outlook import Failure, Outlook

LABELS = LabelSet(["refund", "shipping"])
LONG = {"retry-after": "30"}


async def never(_: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


def busy(_: httpx.Request) -> httpx.Response:
    return httpx.Response(429, json={"error": {"message": "slow down"}}, headers=LONG)


def client(outlook: Outlook, answer: object, **limits: float) -> ModelClient:
    endpoint = Endpoint(base_url="http://model.test/v1", model="gpt-4o-mini", **limits)
    return ModelClient("cheap", endpoint, LABELS, transport=httpx.MockTransport(answer), outlook=outlook)


def outcomes(call: Call) -> list[str]:
    return [attempt.outcome for attempt in call.attempts]


async def test_only_the_first_time_out_of_a_call_is_told_as_such() -> None:
    outlook, heard = Outlook(), list[Failure]()
    outlook.follow(heard.append, waits=True)
    async with client(outlook, never, timeout_s=0.02, attempts=2) as model:
        assert outcomes(await model.ask("x")) == ["timeout", "timeout"]
    assert [failure.first_timeout for failure in heard] == [True, False]
    assert heard[0].took_s >= 0.02


async def test_a_time_out_of_a_process_that_was_stalled_is_not_the_endpoints() -> None:
    outlook, heard = Outlook(), list[Failure]()
    outlook.follow(heard.append, waits=True)
    is_stalled = iter([True, False])

    async def never_answers(request: httpx.Request) -> httpx.Response:
        if next(is_stalled):
            time.sleep(0.6)  # noqa: ASYNC251 - as a frozen process does
        return await never(request)

    async with client(outlook, never_answers, timeout_s=0.02, attempts=2) as model:
        assert outcomes(await model.ask("x")) == ["timeout", "timeout"]
    assert [failure.first_timeout for failure in heard] == [False, True]


async def test_the_wait_that_an_endpoint_asks_for_is_told() -> None:
    outlook, heard = Outlook(), list[Failure]()
    outlook.follow(heard.append, waits=True)
    async with client(outlook, busy) as model:
        await model.try_out()
    assert [failure.after_s for failure in heard] == [30.0]


async def test_calls_that_pause_end_when_the_endpoint_is_down() -> None:
    outlook, heard = Outlook(), asyncio.Event()
    outlook.follow(lambda _: heard.set(), waits=True)
    async with client(outlook, busy, deadline_s=60) as model:
        asking = asyncio.create_task(model.ask("x"))
        await heard.wait()
        await asyncio.sleep(0)
        outlook.set_down(True)
        call = await asking
    assert outcomes(call) == ["http_429"]
    assert call.signal.detail.startswith("not tried again: the cheap tier's endpoint at http://")


async def test_no_call_tries_again_while_the_endpoint_is_down() -> None:
    outlook = Outlook()
    outlook.set_down(True)
    async with client(outlook, busy) as model:
        assert outcomes(await model.ask("x")) == ["http_429"]


@pytest.mark.parametrize(("waits", "pauses"), [(True, False), (False, True)])
async def test_a_pause_beyond_the_deadline_is_begun_only_if_tickets_would_go_on_without_it(
    waits: bool, pauses: bool
) -> None:
    outlook = Outlook()
    outlook.follow(lambda _: None, waits=waits)
    async with client(outlook, busy, deadline_s=0.05) as model:
        call = await model.ask("x")
    assert outcomes(call) == ["http_429"]
    assert ("no answer within" in call.signal.detail) is pauses
