"""Builds the stages that watch the models and the tickets: drift, traffic and cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from typing import TypeVar

from schemas import TOPICS, Alert, InvalidMessage, Message, Probe
from streams.agents.cause import CauseHandler
from streams.agents.drift import DriftHandler
from streams.agents.registry import USES, AgentName
from streams.agents.replayed import History
from streams.agents.traffic import TrafficHandler
from streams.delivery.stage import Stage
from streams.kafka.history import history
from streams.settings import Settings

M = TypeVar("M", bound=Message)


def watcher(
    agent: AgentName,
    settings: Settings,
    count: Callable[[str, str], None],
    replayed: Callable[[str], None] = lambda _agent: None,
) -> Stage:
    """Return the stage of one watching agent; ``count`` is called with what became of every probe.

    ``replayed`` is called with the agent's name for every old message that its memory reads again. Raises KeyError for
    any other agent.
    """
    limits, topic = settings.drift, TOPICS[USES[agent].reads]
    if agent == "traffic":
        handler = TrafficHandler(settings.policy, settings.traffic, traffic_source(settings))
        return Stage(agent, topic, handler)
    if agent == "cause":
        causes = CauseHandler(limits.together_s, _history(Alert, settings, partial(replayed, agent)))
        return Stage(agent, topic, causes, once=False, memory=causes.memory)
    if agent == "drift":
        probes = _history(Probe, settings, partial(replayed, agent))
        drifts = DriftHandler(limits.detectors, settings.policy.id, probes, count)
        return Stage(agent, topic, drifts, once=False, memory=drifts.memory)
    raise KeyError(agent)


def traffic_source(settings: Settings) -> str:
    """Return the name of the cheap tier's endpoint in alerts: the one it is probed under, or the guards' name for it."""
    names = settings.probed_names("cheap")
    return names[0] if names else f"cheap:{settings.tiers.cheap.model}"


def _history(message: type[M], settings: Settings, told: Callable[[], None]) -> History[M]:
    async def replayed(before: Mapping[tuple[str, int], int]) -> AsyncIterator[M]:
        async for record in history(settings.broker.connection, before, settings.drift.replay_rows):
            told()
            try:
                yield message.decode(record.value)
            except InvalidMessage:
                continue  # it has become a dead letter when it was read for the first time

    return replayed
