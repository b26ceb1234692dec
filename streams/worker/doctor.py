"""Runs the checks of a worker's start and a few more, and says of each thing that it is well or what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from schemas import TOPICS, Call, Scored, Tier
from streams.errors import HedgerowError
from streams.kafka.compression import COMPRESSIONS, unreadable
from streams.kafka.diagnosis import dial
from streams.models.classifier import ModelClient
from streams.models.contract_check import HARMLESS_TEXT
from streams.settings import Settings, load_settings
from streams.worker.following import Followed, following_alerts
from streams.worker.start_checks import Finding, StartCheck, start_checks


async def examine(config: Path) -> AsyncIterator[Finding]:
    """Yield one finding after the other; without valid settings there is only one."""
    try:
        settings = load_settings(config)
    except HedgerowError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, f"{config}: {len(settings.labels)} labels, policy {settings.policy.id}")
    yield _compressions()
    broker = await _broker(settings)
    yield broker
    for check in start_checks(
        settings, settings.default_agents, {}, partial(_followed, settings), user="doctor", topics=TOPICS
    ):
        if broker.ok or not check.needs_broker:
            yield await _found(check)
    yield await _endpoint("cheap", settings)
    yield await _endpoint("big", settings)


async def _followed(settings: Settings) -> Followed:
    async with following_alerts(settings, lambda _: None, lambda _: None) as followed:
        return followed


async def _found(check: StartCheck) -> Finding:
    try:
        return await check.run()
    except HedgerowError as error:
        return Finding(check.name, False, str(error))


def _compressions() -> Finding:
    failed = unreadable()
    if failed:
        text = f"{', '.join(failed)} cannot be read: a topic with such messages ends a worker; pip install cramjam"
        return Finding("compression", False, text)
    return Finding("compression", True, f"{', '.join(COMPRESSIONS)} can be read")


async def _broker(settings: Settings) -> Finding:
    connection = settings.broker.connection
    try:
        (await dial(connection.bootstrap, connection.security)).close()
    except HedgerowError as error:
        return Finding("broker", False, str(error))
    return Finding("broker", True, f"{connection.bootstrap} answers")


async def _endpoint(tier: Tier, settings: Settings) -> Finding:
    endpoint = settings.tiers.of(tier)
    name = f"{tier} model"
    try:
        async with ModelClient(tier, endpoint, settings.label_set, prompt=settings.prompt) as client:
            call = await client.ask(HARMLESS_TEXT)
    except HedgerowError as error:
        return Finding(name, False, str(error))
    return Finding(name, isinstance(call.signal, Scored), _said(call))


def _said(call: Call) -> str:
    model = call.model_returned or call.model_asked
    if isinstance(call.signal, Scored):
        return f"{model} answers with logprobs (k = {call.signal.k}) in {call.latency_ms:.0f} ms"
    return f"{model} gives no signal, {call.signal.reason}: {call.signal.detail or 'nothing would be accepted'}"
