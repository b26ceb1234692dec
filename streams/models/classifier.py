"""Asks one tier's endpoint about tickets, with every attempt on record."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx
import orjson

from schemas import Attempt, Call, Reason, ShownExample, Tier, Unscorable
from streams.core.memory.recall import NearExample, Recalled
from streams.core.signal.instructions import Prompt
from streams.core.signal.labels import LabelSet
from streams.core.signal.score import score
from streams.models.endpoint import Endpoint
from streams.models.http import Exchange, Unanswered
from streams.models.outlook import Outlook
from streams.models.prices import cost_of

PATH = "/chat/completions"
_MAX_ANSWER = 1_000
_TRIAL_TEXT = "Hello, does this work?"
_NOTHING = Recalled()


def chat_request(endpoint: Endpoint, prompt: Prompt, text: str, shown: Sequence[NearExample] = ()) -> dict[str, Any]:
    """Return the request body for one ticket's text, redacted, as it is sent to ``PATH`` below the base URL."""
    return {
        "model": endpoint.model,
        "messages": prompt.messages(text, shown),
        "logprobs": True,
        "top_logprobs": endpoint.top_logprobs,
        "temperature": endpoint.temperature,
        "top_p": endpoint.top_p,
        endpoint.max_tokens_field: endpoint.max_tokens,
        **endpoint.extra,
    }


def with_recalled(call: Call, recalled: Recalled) -> Call:
    """Return the call with what a memory says of its ticket; the examples that it was shown stay as they are."""
    numbers = {
        "novelty": recalled.novelty,
        "neighbour_label": recalled.neighbour_label,
        "neighbour_share": recalled.neighbour_share,
        "neighbour_novelty": recalled.neighbour_novelty,
    }
    return call.model_copy(update=numbers)


class ModelClient:
    """One tier's endpoint. An async context manager; ``ask`` never raises but StopWorker and cancellation.

    ``prompt`` is what is asked about ``labels``; without it their names alone, and no redaction. ``outlook`` hears of failed
    attempts, and says when trying again is of no use.
    """

    def __init__(
        self,
        tier: Tier,
        endpoint: Endpoint,
        labels: LabelSet,
        *,
        prompt: Prompt | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        outlook: Outlook | None = None,
    ) -> None:
        self.tier = tier
        self.endpoint = endpoint
        self._labels = labels
        self._prompt = prompt or Prompt(labels.labels, labels.answers)
        self._price = endpoint.price
        self._exchange = Exchange(endpoint, name=f"the {tier} tier's endpoint", transport=transport, outlook=outlook)

    @property
    def model_asked(self) -> str:
        """The model's name as it is asked for."""
        return self.endpoint.model

    @property
    def prompt_hash(self) -> str:
        """Of everything in a prompt but the ticket and the examples that were found for it."""
        return self._prompt.hash

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    def unasked(self, reason: Reason, detail: str) -> Call:
        """Return the call of a ticket that this endpoint is not asked about, and why: no attempt, no cost."""
        return self._unanswered((), reason, detail)

    async def try_out(self, text: str = _TRIAL_TEXT) -> Call:
        """Ask once, with a text that is no ticket's and without further attempts, to see whether the endpoint answers."""
        return await self._ask(text, _NOTHING, attempts=1)

    async def ask(self, text: str, recalled: Recalled = _NOTHING) -> Call:
        """Ask about one ticket's text and return the call, with every attempt, whatever came of it.

        ``recalled`` is what the memory says of the ticket: its examples stand in the prompt, its numbers in the call.

        A failure that does not pass within the attempts and the deadline is a call without an answer: the policy knows
        what to do with those. Raises StopWorker for a key or a model that the endpoint does not know.
        """
        call = await self._ask(text, recalled, self.endpoint.attempts)
        if recalled == _NOTHING:
            return call
        shown = tuple(ShownExample(id=one.example.id, similarity=one.similarity) for one in recalled.shown)
        return with_recalled(call, recalled).model_copy(update={"shown": shown})

    async def _ask(self, text: str, recalled: Recalled, attempts: int) -> Call:
        request = chat_request(self.endpoint, self._prompt, text, recalled.shown)
        answered = await self._exchange.send(PATH, orjson.dumps(request), attempts=attempts)
        if isinstance(answered, Unanswered):
            return self._unanswered(answered.failed, answered.reason, answered.detail)
        reading = score(answered.content, self._labels)
        known = reading.prompt_tokens is not None and reading.completion_tokens is not None
        prompt_tokens = (
            sum(_tokens(message["content"]) for message in request["messages"])
            if reading.prompt_tokens is None
            else reading.prompt_tokens
        )
        completion_tokens = (
            _tokens(reading.text or "") if reading.completion_tokens is None else reading.completion_tokens
        )
        last = answered.attempt(
            "ok" if reading.signal.status == "scored" else "unscorable",
            prompt_tokens,
            completion_tokens,
            cost_of(self._price, prompt_tokens, completion_tokens),
            estimated=not known,
        )
        return Call(
            tier=self.tier,
            model_asked=self.endpoint.model,
            model_returned=reading.model,
            fingerprint=reading.fingerprint,
            prompt_hash=self._prompt.hash,
            answer=None if reading.text is None else reading.text[:_MAX_ANSWER],
            signal=reading.signal,
            attempts=(*answered.failed, last),
        )

    def _unanswered(self, attempts: tuple[Attempt, ...], reason: Reason, detail: str) -> Call:
        return Call(
            tier=self.tier,
            model_asked=self.endpoint.model,
            prompt_hash=self._prompt.hash,
            signal=Unscorable(reason=reason, detail=detail),
            attempts=attempts,
        )


def _tokens(text: str) -> int:
    """Guess how many tokens a text is: four characters each, as in English."""
    return -(-len(text) // 4)
