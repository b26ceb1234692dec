"""Where the model calls come from of which no result tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas import Attempt, Call, Classification, Message, Review, Routed
from streams.agents.paid_calls import calls_in

#: How attempts are recorded that got no answer.
_UNANSWERED = {"connection", "connect_timeout", "cut_off", "timeout", "deadline"}
_LATE = {"timeout", "deadline"}
#: What the model server did not charge for.
_REFUSED = ("rate_limit", "server_error", "cut")
_CALLS_AT_A_START = 2


def charged(stats: dict[str, Any]) -> int:
    """Return how many calls the model server was not kept from answering by a fault of its own."""
    faults: dict[str, int] = stats["faults"]
    return int(stats["requests"]) - sum(faults.get(name, 0) for name in _REFUSED)


def answered(call: Call) -> int:
    """Return how many attempts of a call got an answer."""
    return sum(_is_answered(attempt) for attempt in call.attempts)


def _is_answered(attempt: Attempt) -> bool:
    return attempt.outcome not in _UNANSWERED and not attempt.outcome.startswith("http_")


@dataclass
class Extra:
    """What the model servers counted, and what the messages tell of calls.

    A call whose client went away before its answer is ``abandoned``; one that was in progress when its model server went away is
    ``cut_off``.
    """

    charged: int = 0
    abandoned: int = 0
    cut_off: int = 0
    _calls: dict[tuple[str, str, int, float], Call] = field(default_factory=dict)

    def leave(self, stats: dict[str, Any]) -> None:
        """Take what a model server has counted that goes away."""
        self.charged += charged(stats)
        abandoned = sum(counts["abandoned"] for counts in stats["models"].values())
        self.abandoned += abandoned
        self.cut_off += charged(stats) - abandoned - int(stats["answered"])

    def see(self, message: Message) -> None:
        """Take the calls that a message tells of, those of an earlier one too."""
        if not isinstance(message, Classification | Routed | Review):
            return
        for call in calls_in(message):
            if call.attempts:
                first = call.attempts[0]
                self._calls[message.ticket_id, call.tier, first.at_ms, first.latency_ms] = call

    def by_cause(self, recorded: int, starts: int) -> dict[str, int]:
        """Return how many calls there were beyond those ``recorded`` in the results that count, by what led to them.

        ``handed_on_twice``: their answer is on a topic, and another one for the same ticket counts. ``in_flight``: the worker
        died, or was not there, before the answer. ``late``: not answered in time. ``models_cut_off``: the model server went away.
        ``start_checks``: of so many ``starts`` of workers. ``answer_lost``: the rest, whose worker died or lost its transaction
        between an answer and its message, and trials.
        """
        handed_on = sum(map(answered, self._calls.values()))
        late = sum(attempt.outcome in _LATE for call in self._calls.values() for attempt in call.attempts)
        found = {
            "handed_on_twice": handed_on - recorded,
            "in_flight": max(0, self.abandoned - late),
            "late": late,
            "models_cut_off": self.cut_off,
            "start_checks": _CALLS_AT_A_START * starts,
        }
        return found | {"answer_lost": self.charged - recorded - sum(found.values())}
