"""Which agents there are, and which topic each of them reads, follows and writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from schemas import TOPICS, Tier

AgentName = Literal[
    "classify", "score", "escalate", "review", "settle", "drift", "traffic", "cause", "notify", "announce"
]
#: The agents that tickets pass through.
AGENTS: tuple[AgentName, ...] = ("classify", "score", "escalate", "review")
#: The agents behind the pipeline, which no ticket waits for.
KEEPERS: tuple[AgentName, ...] = ("settle",)
#: The agents that watch the models and the tickets; they run where endpoints are probed.
WATCHERS: tuple[AgentName, ...] = ("drift", "traffic", "cause")
#: The agents that post to webhooks; they run if there are some.
MESSENGERS: tuple[AgentName, ...] = ("notify", "announce")


@dataclass(frozen=True, slots=True)
class TopicUse:
    """The topics of one agent."""

    reads: str
    """What it consumes as its group; classify, settle, drift, traffic and cause read it again to rebuild their memory."""
    writes: frozenset[str]
    """What it sends, its dead letters included."""
    follows: frozenset[str] = frozenset()
    """What it reads from the beginning and then follows, outside any group."""
    calls_on: frozenset[str] = frozenset()
    """What its calls to a model are handed on by; of that it reads the end, for calls that are paid for already."""

    @property
    def readable(self) -> frozenset[str]:
        """Every topic that it needs the right to read."""
        return self.follows | self.calls_on | {self.reads}


def _use(reads: str, *writes: str, follows: Iterable[str] = (), calls_on: Iterable[str] = ()) -> TopicUse:
    return TopicUse(reads, frozenset({*writes, "dead-letters"}), frozenset(follows), frozenset(calls_on))


#: The tier that an agent asks, if it asks one.
TIERS: dict[AgentName, Tier] = {"classify": "cheap", "escalate": "big"}
#: What is only used if the settings have a memory on it.
MEMORY_TOPIC = "memory"
#: What is only needed if the settings have budgets; without it the guards of each worker know nothing of the others.
FLEET_TOPIC = "fleet"
#: The agents with budgets and guards: they tell one another what they used up and saw.
SPENDERS: frozenset[AgentName] = frozenset({"classify", "score", "escalate"})
#: The one table of who uses which topic. The agents of tickets follow the alerts to know what is paused, and score and
#: escalate whether their policy is stale; traffic, when it last changed. Those that ask a model follow the memory for
#: examples, and those with budgets the fleet.
USES: dict[AgentName, TopicUse] = {
    "classify": _use(
        "tickets",
        *("classifications", "escalations", "routed", "reviews", "alerts", FLEET_TOPIC),
        follows=["alerts", FLEET_TOPIC, MEMORY_TOPIC],
        calls_on=["classifications"],
    ),
    "score": _use(
        "classifications",
        *("routed", "escalations", "reviews", "alerts", FLEET_TOPIC),
        follows=["alerts", FLEET_TOPIC],
    ),
    "escalate": _use(
        "escalations",
        *("routed", "reviews", "alerts", FLEET_TOPIC),
        follows=["alerts", FLEET_TOPIC, MEMORY_TOPIC],
        calls_on=["routed", "reviews"],
    ),
    "review": _use("reviews", "alerts", follows=["alerts"]),
    "settle": _use("routed", "routed"),
    "drift": _use("probes", "alerts"),
    "traffic": _use("classifications", "alerts", follows=["alerts"]),
    "cause": _use("alerts", "alerts"),
    "notify": _use("alerts"),
    "announce": _use("reviews"),
}


def topics_of(agents: Iterable[AgentName]) -> list[str]:
    """Return every topic that one of these agents reads or writes, in the order of ``TOPICS``."""
    used = {topic for agent in agents for topic in USES[agent].readable | USES[agent].writes}
    return [topic for topic in TOPICS if topic in used]
