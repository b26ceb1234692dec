"""Builds the stages that watch the models and the tickets: drift, traffic and cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from schemas import TOPICS, Alert, Classification, InvalidMessage, Message, Probe
from streams.agents.cause import CauseHandler
from streams.agents.drift import DriftHandler
from streams.agents.drift_memory import Place, Placed, ProbeHistory
from streams.agents.registry import USES, AgentName
from streams.agents.replayed import History
from streams.agents.traffic import TrafficHandler
from streams.delivery.stage import Record, Stage
from streams.kafka.history import history
from streams.settings import Settings
from streams.worker.drift_states import DriftStates

M = TypeVar("M", bound=Message)


def watcher(
    agent: AgentName,
    settings: Settings,
    count: Callable[[str, str], None],
    replayed: Callable[[str], None] = lambda _agent: None,
    traffic_told_ms: Callable[[], int] = lambda: 0,
) -> Stage:
    """Return the stage of one watching agent; ``count`` is called with what became of every probe.

    ``replayed`` is called with the agent's name for every old message that its memory reads again; ``traffic_told_ms`` returns
    when a change of the traffic was last told. Raises KeyError for any other agent.
    """
    limits, topic = settings.drift, TOPICS[USES[agent].reads]
    if agent == "traffic":
        past = _history(
            Classification, settings, partial(replayed, agent), settings.traffic.reference + settings.traffic.window
        )
        handler = TrafficHandler(settings.policy, settings.traffic, traffic_source(settings), traffic_told_ms, past)
        return Stage(agent, topic, handler, memory=handler)
    if agent == "cause":
        causes = CauseHandler(
            limits.together_s, _history(Alert, settings, partial(replayed, agent), limits.replay_rows)
        )
        return Stage(agent, topic, causes, once=False, memory=causes.memory)
    if agent == "drift":
        probes = _probes(settings, partial(replayed, agent))
        states = None if limits.state_dir is None else DriftStates(Path(limits.state_dir), limits.detectors)
        drifts = DriftHandler(limits.detectors, settings.policy.id, probes, count, states)
        return Stage(agent, topic, drifts, once=False, memory=drifts.memory, read=placed)
    raise KeyError(agent)


def traffic_source(settings: Settings) -> str:
    """Return the name of the cheap tier's endpoint in alerts: the one it is probed under, or the guards' name for it."""
    names = settings.probed_names("cheap")
    return names[0] if names else f"cheap:{settings.tiers.cheap.model}"


def placed(record: Record) -> Placed:
    """Return a probe with its place; raises InvalidMessage as its decoding does."""
    return Placed((record.topic, record.partition), record.offset, Probe.decode(record.value))


def _probes(settings: Settings, told: Callable[[], None]) -> ProbeHistory:
    async def probes(since: Mapping[Place, int], before: Mapping[Place, int]) -> AsyncIterator[Placed]:
        async for record in history(settings.broker.connection, before, settings.drift.replay_rows, since):
            told()
            try:
                yield placed(record)
            except InvalidMessage:
                continue  # it has become a dead letter when it was read for the first time

    return probes


def _history(message: type[M], settings: Settings, told: Callable[[], None], rows: int) -> History[M]:
    async def replayed(before: Mapping[tuple[str, int], int]) -> AsyncIterator[M]:
        async for record in history(settings.broker.connection, before, rows):
            told()
            try:
                yield message.decode(record.value)
            except InvalidMessage:
                continue  # it has become a dead letter when it was read for the first time

    return replayed
