"""Runs the checks of a worker's start and a few more, and says of each thing that it is well or what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from schemas import NEWEST, TOPICS
from streams.core.wording import counted
from streams.errors import HedgerowError
from streams.kafka.compression import COMPRESSIONS, unreadable
from streams.kafka.diagnosis import dial
from streams.kafka.retention import kept_otherwise
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
    yield Finding("settings", True, f"{config}: {counted(len(settings.labels), 'label')}, policy {settings.policy.id}")
    yield _messages(settings)
    yield _compressions()
    broker = await _broker(settings)
    yield broker
    for check in start_checks(
        settings, settings.default_agents, {}, partial(_followed, settings), user="doctor", topics=TOPICS
    ):
        if broker.ok or not check.needs_broker:
            yield await _found(check)
    if broker.ok and settings.topics.retention_days:
        yield await _retention(settings)


async def _followed(settings: Settings) -> Followed:
    async with following_alerts(settings, lambda _: None, lambda _: None) as followed:
        return followed


async def _found(check: StartCheck) -> Finding:
    try:
        return await check.run()
    except HedgerowError as error:
        return Finding(check.name, False, str(error))


def _messages(settings: Settings) -> Finding:
    if settings.messages.write == NEWEST.version:
        return Finding("messages", True, f"version {NEWEST.version} is written")
    return Finding(
        "messages",
        True,
        f"version {settings.messages.write} is written: no review can be decided as none of the labels, and every model needs "
        f"a price; set messages.write: {NEWEST.version} once every reader is upgraded (docs/messages.md)",
    )


def _compressions() -> Finding:
    failed = unreadable()
    if failed:
        text = f"{', '.join(failed)} cannot be read: a topic with such messages ends a worker; pip install cramjam"
        return Finding("compression", False, text)
    return Finding("compression", True, f"{', '.join(COMPRESSIONS)} can be read")


async def _retention(settings: Settings) -> Finding:
    topics = settings.topics
    try:
        others = await kept_otherwise(settings.broker.connection, topics.retention_days, prefix=topics.prefix)
    except HedgerowError as error:
        return Finding("retention", False, str(error))
    if not others:
        return Finding("retention", True, f"{counted(len(topics.retention_days), 'topic')} kept as the settings say")
    said = ", ".join(
        f"{name} ({key} is {has}, not {wish})" for name, each in others.items() for key, (has, wish) in each.items()
    )
    return Finding(
        "retention", False, f"kept otherwise than topics.retention_days says: {said}; run: hedgerow topics create"
    )


async def _broker(settings: Settings) -> Finding:
    connection = settings.broker.connection
    try:
        (await dial(connection.bootstrap, connection.security)).close()
    except HedgerowError as error:
        return Finding("broker", False, str(error))
    return Finding("broker", True, f"{connection.bootstrap} answers")
