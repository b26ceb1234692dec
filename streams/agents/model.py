"""A tier's model as the handlers see it: a ticket in, a call and alerts out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from schemas import Alert, Call, Reason, Ticket, Tier
from streams.errors import Hold


class Model(Protocol):
    """One tier's model without guards; ``TierModel`` is one."""

    @property
    def tier(self) -> Tier:
        """The tier that it answers for."""

    @property
    def model_asked(self) -> str:
        """The model's name as it is asked for."""

    async def ask(self, ticket: Ticket, before: Call | None = None) -> Call:
        """Ask about one ticket and return the call, whether or not an answer came back.

        ``before`` is the call of the tier that was asked about it before, if one was.
        """

    async def try_out(self) -> Call:
        """Ask once, with a fixed text and without further attempts, to see whether the endpoint answers."""

    def unasked(self, reason: Reason, detail: str) -> Call:
        """Return the call of a ticket that the model is not asked about: no attempt, no cost."""


class ModelAround:
    """A model that asks another one, and is it in everything but how it asks."""

    def __init__(self, model: Model) -> None:
        self._model = model

    @property
    def tier(self) -> Tier:
        """The tier that it answers for."""
        return self._model.tier

    @property
    def model_asked(self) -> str:
        """The model's name as it is asked for."""
        return self._model.model_asked

    async def try_out(self) -> Call:
        """Ask once, with a fixed text and without further attempts, to see whether the endpoint answers."""
        return await self._model.try_out()

    def unasked(self, reason: Reason, detail: str) -> Call:
        """Return the call of a ticket that the model is not asked about: no attempt, no cost."""
        return self._model.unasked(reason, detail)


class HeldCall(Hold):
    """The ticket waits although it was asked about: its ``call`` has no answer, and may have to be paid."""

    def __init__(self, message: str, over: Callable[[], Awaitable[None]], call: Call) -> None:
        super().__init__(message, over)
        self.call = call


@dataclass(frozen=True, slots=True)
class Asked:
    """A call, and what the guards noticed at it."""

    call: Call
    alerts: tuple[Alert, ...] = ()


class Ask(Protocol):
    """What a handler asks a model with: ``GuardedModel.ask``."""

    def __call__(self, ticket: Ticket, before: Call | None = None, /) -> Awaitable[Asked]:
        """Ask about one ticket; ``before`` is the call of the tier that was asked before."""
