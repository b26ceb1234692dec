"""Runs the checks of a worker's start and a few more, and says of each thing that it is well or what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path

from schemas import NEWEST, TOPICS
from streams.core.wording import counted
from streams.errors import HedgerowError
from streams.kafka.compression import COMPRESSIONS, unreadable
from streams.kafka.diagnosis import dial
from streams.kafka.retention import Otherwise, parted, set_otherwise
from streams.kafka.topics import topic_states
from streams.settings import Settings, load_settings
from streams.worker.following import Followed, following_alerts
from streams.worker.start_checks import Finding, StartCheck, start_checks


async def examine(config: Path) -> AsyncIterator[Finding]:
    """Yield one finding after the other; without valid settings there is only one."""
    try:
        settings = load_settings(config).under_policy()
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
    if broker.ok:
        for finding in await _topic_settings(settings):
            yield finding


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


async def _topic_settings(settings: Settings) -> list[Finding]:
    """Return what is found of how the topics that are there are set: by ``retention_days``, and by this release."""
    connection, topics = settings.broker.connection, settings.topics
    days, prefix = topics.retention_days, topics.prefix
    try:
        there = [
            state.name.removeprefix(prefix) for state in await topic_states(connection, prefix) if state.partitions
        ]
        differ = await set_otherwise(connection, there, days, prefix=prefix)
    except HedgerowError as error:
        return [Finding("topic settings", not days, str(error))]
    findings = []
    kept, rest = parted(differ, days, prefix=prefix)
    if kept:
        text = f"kept otherwise than topics.retention_days says: {_said(kept)}; run: hedgerow topics create"
        findings.append(Finding("retention", False, text))
    elif days:
        findings.append(Finding("retention", True, f"{counted(len(days), 'topic')} kept as the settings say"))
    if rest:
        text = f"{_said(rest)}; run: hedgerow topics create --alter"
        findings.append(Finding("topic settings", False, text))
    else:
        findings.append(Finding("topic settings", True, "the topics that are there are set as this release wants"))
    return findings


def _said(differ: Mapping[str, Otherwise]) -> str:
    return ", ".join(f"{name} ({other})" for name, other in differ.items())


async def _broker(settings: Settings) -> Finding:
    connection = settings.broker.connection
    try:
        (await dial(connection.bootstrap, connection.security)).close()
    except HedgerowError as error:
        return Finding("broker", False, str(error))
    return Finding("broker", True, f"{connection.bootstrap} answers")
