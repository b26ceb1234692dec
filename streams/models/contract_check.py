"""One call to an endpoint, compared with its contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas import Call, Reason, Signal
from streams.core.guards.contract import Breach, Observation, Terms, compare, tells
from streams.models.classifier import ModelClient

HARMLESS_TEXT: Final = "I would like to know where my order is."
"""The ticket that an endpoint is asked about when none is at hand: for contract checks and the doctor."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What one probe of one endpoint showed."""

    call: Call
    breaches: tuple[Breach, ...]

    @property
    def answered(self) -> bool:
        """Whether the endpoint answered at all: if not, its contract is neither kept nor broken."""
        return not _has_reason(self.call.signal, Reason.NO_ANSWER)


async def probe(client: ModelClient, terms: Terms) -> Probed:
    """Ask the endpoint about one harmless ticket and compare the answer with the terms.

    Raises StopWorker for a key or a model that the endpoint does not know.
    """
    return judge_probe(await client.ask(HARMLESS_TEXT), terms)


def judge_probe(call: Call, terms: Terms) -> Probed:
    """Compare the answer to a harmless ticket with the terms; one that tells nothing (a refusal) counts as a breach."""
    breaches = compare(terms, Observation.of(call))
    if not tells(call.signal) and call.signal.status == "unscorable":
        found = f"{call.signal.reason}: {call.signal.detail}"
        breaches = (Breach(str(call.signal.reason), "answer", "accept", "an answer to the probe", found), *breaches)
    return Probed(call, breaches)


def _has_reason(signal: Signal, reason: Reason) -> bool:
    return signal.status == "unscorable" and signal.reason is reason
