"""Both endpoints are asked before a worker is ready: what refuses ends it, what does not answer is waited for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web

from schemas import Call, Tier
from streams.agents.registry import AGENTS
from streams.errors import StopWorker
from streams.sandbox.ports import ReservedPort
from streams.settings import Settings, check_settings
from streams.worker.following import Followed
from streams.worker.start_checks import Finding, start_checks
from tests.support.contracts import PAPER


def settings(port: int, **more: object) -> Settings:
    tier = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "gpt-4o-mini", "timeout_s": 2.0}
    return check_settings({"labels": ["a", "b"], "tiers": {"cheap": tier, "big": tier}} | more, "x")


async def not_followed() -> Followed:
    raise AssertionError("only endpoints are asked")


async def found(chosen: Settings, contracts: dict[Tier, str]) -> dict[str, Finding]:
    checks = start_checks(chosen, AGENTS, contracts, not_followed)
    asked = [check for check in checks if check.name.endswith((" model", " contract"))]
    return {check.name: await check.run() for check in asked}


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_an_endpoint_that_refuses_ends_the_start_with_tier_address_and_way_out(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": {"message": "no such key or model"}}, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    try:
        with pytest.raises(StopWorker) as refused:
            await found(settings(port), {})
    finally:
        await runner.cleanup()
    place = f"the cheap tier's endpoint at http://127.0.0.1:{port}/v1 refuses: {status}: no such key or model; "
    assert str(refused.value).startswith(place)


async def test_an_endpoint_that_does_not_answer_is_a_warning_and_its_contract_is_not_asked_for_again() -> None:
    big = PAPER | {"tier": "big"}
    contracts = {"contracts": [PAPER | {"model": "gpt-4o-mini"}, big | {"model": "gpt-4o-mini"}], "exceptions": []}
    states: dict[Tier, str] = {}
    with ReservedPort() as port:
        findings = await found(settings(port.number, contracts=contracts), states)
    assert [finding.ok for finding in findings.values()] == [False] * 4
    assert (
        f"the big tier's endpoint at http://127.0.0.1:{port.number}/v1 refuses connections"
        in findings["big model"].text
    )
    assert "not checked" in findings["big contract"].text
    assert states == {"cheap": "unchecked", "big": "unchecked"}


async def test_an_endpoint_is_not_asked_once_the_money_is_spent() -> None:
    async def spent(tier: Tier, ask: Callable[[], Awaitable[Call]]) -> Call | None:
        return None

    states: dict[Tier, str] = {}
    checks = start_checks(settings(1), ["classify"], states, not_followed, pay=spent)
    [finding] = [await check.run() for check in checks if check.name == "cheap model"]
    assert (finding.ok, finding.text) == (False, "not asked: the money is spent, or cannot be leased")
