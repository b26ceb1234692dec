"""Looks at everything a worker needs, and says of each thing that it is well or what to do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from schemas import Call, Scored, Tier
from streams.errors import HedgerowError
from streams.kafka.compression import COMPRESSIONS, unreadable
from streams.kafka.topics import absence, topic_states
from streams.models.classifier import ModelClient
from streams.models.contract_check import HARMLESS_TEXT
from streams.reviews.store import ReviewStore
from streams.settings import Settings, load_settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str
    """What was found, or what to do."""


async def examine(config: Path) -> AsyncIterator[Finding]:
    """Yield one finding after the other; without valid settings there is only one."""
    try:
        settings = load_settings(config)
    except HedgerowError as error:
        yield Finding("settings", False, str(error))
        return
    yield Finding("settings", True, f"{config}: {len(settings.labels)} labels, policy {settings.policy.id}")
    yield _compressions()
    async for finding in _broker(settings):
        yield finding
    yield await _endpoint("cheap", settings)
    yield await _endpoint("big", settings)
    yield _store(settings)


def _compressions() -> Finding:
    failed = unreadable()
    if failed:
        text = f"{', '.join(failed)} cannot be read: a topic with such messages ends a worker; pip install cramjam"
        return Finding("compression", False, text)
    return Finding("compression", True, f"{', '.join(COMPRESSIONS)} can be read")


async def _broker(settings: Settings) -> AsyncIterator[Finding]:
    bootstrap = settings.broker.bootstrap
    try:
        states = await topic_states(settings.broker.connection, settings.topics.prefix)
    except HedgerowError as error:
        yield Finding("broker", False, str(error))
        return
    yield Finding("broker", True, f"{bootstrap} answers")
    absent = [state.name for state in states if not state.partitions]
    few = [state.name for state in states if 0 < state.partitions < settings.topics.partitions]
    if absent:
        yield Finding("topics", False, absence(absent, settings.broker.connection))
    elif few:
        text = f"fewer than the {settings.topics.partitions} partitions of the settings: {', '.join(few)}"
        yield Finding("topics", False, f"{text}; add partitions with your Kafka's tools")
    else:
        yield Finding(
            "topics", True, f"{len(states)} topics, {min(state.partitions for state in states)} partitions or more"
        )


async def _endpoint(tier: Tier, settings: Settings) -> Finding:
    endpoint = settings.tiers.cheap if tier == "cheap" else settings.tiers.big
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


def _store(settings: Settings) -> Finding:
    try:
        store = ReviewStore(settings.review.url, labels=settings.labels)
        counts = store.counts()
    except HedgerowError as error:
        return Finding("review store", False, str(error))
    return Finding("review store", True, f"{counts.waiting} waiting, {counts.decided} decided")
