"""A worker's start, and the doctor that runs the same checks, pay for one call to each model."""

from __future__ import annotations

from pathlib import Path

from schemas import Tier
from streams.core.guards.contract import Contracts
from streams.core.policy.policy import Policy
from streams.demo.contracts import sandbox_contract
from streams.demo.run import demo_settings, local_connection
from streams.sandbox.model_server.process import ModelServer
from streams.settings import Settings
from streams.worker.following import Followed
from streams.worker.start_checks import start_checks


class Nowhere:
    kind = "embedded"
    bootstrap = "127.0.0.1:1"


def with_contracts(models: ModelServer, folder: Path) -> Settings:
    connection = local_connection(Nowhere())  # type: ignore[arg-type]
    settings = demo_settings(connection, models.url, models.labels, Policy(), folder, "once.")
    both = [sandbox_contract("cheap", settings.tiers.cheap.model), sandbox_contract("big", settings.tiers.big.model)]
    return settings.model_copy(update={"contracts": Contracts.model_validate({"contracts": both})})


async def checked(settings: Settings) -> dict[Tier, str]:
    """Run the checks that need no broker, and return what was found of each contract."""
    found: dict[Tier, str] = {}

    async def follow() -> Followed:
        return Followed(settings)

    for check in start_checks(settings, ["classify", "escalate"], found, follow):
        if not check.needs_broker:
            await check.run()
    return found


async def test_each_model_is_asked_once_for_itself_and_for_its_contract(
    model_server: ModelServer, tmp_path: Path
) -> None:
    settings = with_contracts(model_server, tmp_path)
    before = (await model_server.stats())["requests"]
    assert await checked(settings) == {"cheap": "kept", "big": "kept"}
    assert (await model_server.stats())["requests"] - before == 2


async def test_a_model_that_does_not_answer_leaves_its_contract_unchecked(
    model_server: ModelServer, tmp_path: Path
) -> None:
    await model_server.set_faults(["cheap:server_error=1"])
    try:
        assert await checked(with_contracts(model_server, tmp_path)) == {"cheap": "unchecked", "big": "kept"}
    finally:
        await model_server.set_faults([])
