"""What the desk knows of the topics: results of the last hour, alerts, dead letters. It reads them outside any group."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import structlog
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from schemas import Alert, Probe, Routed
from streams.errors import HedgerowError
from streams.kafka.example_book import ExampleBook
from streams.kafka.letter_book import LetterBook
from streams.kafka.readers import decode, reader
from streams.settings import Settings

log = structlog.get_logger(__name__)

MINUTES = 60
_MINUTE_MS = 60_000
#: What is read of a topic's past: records of each partition. Results come by the thousand, and only an hour of them counts.
_PAST = {"routed": 20_000, "alerts": 2_000, "dead-letters": None, "memory": None, "probes": 2_000}
_MAX_ALERTS = 1_000
#: Of each endpoint.
_PROBES = 400
_REMEMBERED = 50_000
_PAUSE_S = 3.0


@dataclass
class Results:
    """The results of the last hour, by the minute in which they were written."""

    outcomes: dict[int, Counter[str]] = field(default_factory=dict)
    """By minute (Unix time): how many tickets each of cheap, big and human decided."""
    cost: dict[int, dict[str, float]] = field(default_factory=dict)
    """By minute: USD of each tier, and how many calls of it have a price."""
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict)

    def take(self, result: Routed, at_ms: int) -> None:
        """Count a result; one whose id has been counted is a repetition, or a correction of that ticket."""
        if result.result_id in self._seen:
            return
        self._seen[result.result_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        minute = at_ms // _MINUTE_MS
        self.outcomes.setdefault(minute, Counter())[result.decided_by] += 1
        cost = self.cost.setdefault(minute, {})
        calls = [(call.tier, call.cost_usd) for call in result.calls]
        for tier, usd in calls or [(call.tier, call.cost_usd) for call in result.summary]:
            if usd is not None:
                cost[tier] = cost.get(tier, 0.0) + usd
                cost[f"{tier} calls"] = cost.get(f"{tier} calls", 0.0) + 1
        for old in [each for each in self.outcomes if each <= minute - 2 * MINUTES]:
            del self.outcomes[old], self.cost[old]

    def hour(self, now_ms: int) -> list[tuple[int, Counter[str]]]:
        """Return each minute of the last hour with its outcomes, the present one last."""
        now = now_ms // _MINUTE_MS
        return [(minute, self.outcomes.get(minute, Counter())) for minute in range(now - MINUTES + 1, now + 1)]

    def spent(self, now_ms: int) -> dict[str, float]:
        """Return the sums of the last hour: USD of each tier, and its calls that have a price."""
        now = now_ms // _MINUTE_MS
        total: dict[str, float] = {}
        for minute, cost in self.cost.items():
            if now - MINUTES < minute <= now:
                for name, number in cost.items():
                    total[name] = total.get(name, 0.0) + number
        return total


class Topics:
    """Follows the topics for as long as the desk runs; what cannot be read just now is told in ``problems``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.results = Results()
        self.alerts: deque[Alert] = deque(maxlen=_MAX_ALERTS)
        self.letters = LetterBook(settings.topics.prefix)
        self.memory = ExampleBook()
        """The labelled tickets, if they are on the topic."""
        self.probes: dict[str, deque[Probe]] = {}
        """The latest probes of each endpoint, the oldest first."""
        self.problems: dict[str, str] = {}
        self._alert_ids: set[str] = set()

    async def run(self) -> None:
        """Follow each topic until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("routed", self._routed))
            group.create_task(self._follow("alerts", self._alert))
            group.create_task(self._follow("dead-letters", self.letters.add))
            if self._settings.memory is not None and self._settings.memory.on_topic:
                group.create_task(self._follow("memory", self.memory.add))
            if self._settings.endpoints is not None:
                group.create_task(self._follow("probes", self._probe))

    async def _follow(self, topic: str, take: Callable[[ConsumerRecord], None]) -> None:
        while True:
            try:
                await self._read(topic, take)
            except (HedgerowError, KafkaError, OSError) as error:
                if topic not in self.problems:
                    log.warning("a topic cannot be read", topic=topic, problem=str(error))
                self.problems[topic] = str(error)
                await asyncio.sleep(_PAUSE_S)

    async def _read(self, topic: str, take: Callable[[ConsumerRecord], None]) -> None:
        connection, prefix = self._settings.broker.connection, self._settings.topics.prefix
        async with reader([topic], connection, prefix=prefix) as consumer:
            past = _PAST[topic]
            if past is not None:
                for partition, end in (await consumer.end_offsets(list(consumer.assignment()))).items():
                    if end > past:
                        consumer.seek(partition, end - past)
            self.problems.pop(topic, None)
            while True:
                for records in (await consumer.getmany(timeout_ms=500, max_records=500)).values():
                    for record in records:
                        take(record)

    def _routed(self, record: ConsumerRecord) -> None:
        message = decode(record, self._settings.topics.prefix)
        if isinstance(message, Routed):
            self.results.take(message, record.timestamp)

    def _alert(self, record: ConsumerRecord) -> None:
        alert = decode(record, self._settings.topics.prefix)
        if isinstance(alert, Alert) and alert.alert_id not in self._alert_ids:
            if len(self.alerts) == _MAX_ALERTS:
                self._alert_ids.discard(self.alerts[0].alert_id)
            self.alerts.append(alert)
            self._alert_ids.add(alert.alert_id)

    def _probe(self, record: ConsumerRecord) -> None:
        probe = decode(record, self._settings.topics.prefix)
        if isinstance(probe, Probe):
            self.probes.setdefault(probe.endpoint, deque(maxlen=_PROBES)).append(probe)


def newest(alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts, the newest first."""
    return sorted(alerts, key=lambda alert: alert.at_ms, reverse=True)
