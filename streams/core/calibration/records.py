"""What both tiers said about one ticket: the rows that a policy is fitted to and replayed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from schemas import Call, Neighbour, Scored, Ticket, Tier, stable_id
from schemas.base import Value
from streams.core.policy.fitted import (
    Fitted,
    FittedMemory,
    FittedTier,
    refuse_other_memory,
    refuse_other_reading,
    with_memory,
)
from streams.errors import SettingsError

_SAME_TEXT = 0.999
"""The similarity of two texts that hardly differ: embeddings that are kept are rounded by some ten-thousandths."""


class Record(Value):
    """One ticket with one call of each tier, made whether or not a policy would have asked."""

    ticket: Ticket
    cheap: Call
    big: Call
    memory: FittedMemory | None = None
    """The memory that both calls were made with; None: without one."""
    near: tuple[Neighbour, ...] = ()
    """The labelled tickets that are nearly the same, the nearest first: those that may answer without a model."""

    @property
    def gold(self) -> str | None:
        """The ticket's label if it is known."""
        return self.ticket.label

    @property
    def is_known(self) -> bool:
        """Whether a labelled ticket with another id has the same text, or nearly: the models may have been shown its label."""
        return any(one.similarity >= _SAME_TEXT for one in self.near)


@dataclass(frozen=True, slots=True)
class Origin:
    """What all records have in common: the labels and each tier's model and prompt."""

    labels: tuple[str, ...]
    cheap: FittedTier
    big: FittedTier
    memory: FittedMemory | None
    """The smallest, if it grew."""


def read_record(line: bytes, where: str) -> Record:
    """Read one row; raises SettingsError that names it (``where``) and the first fault."""
    try:
        return Record.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        at = ".".join(map(str, first["loc"]))
        raise SettingsError(f"{where} is not a record{f' ({at})' if at else ''}: {first['msg']}") from None


def origin(records: Sequence[Record]) -> Origin:
    """Return what the records have in common.

    Raises SettingsError if a tier has records of two models or prompts, or no scored answer at all: figures over a
    mixture say nothing about either.
    """
    return Origin(
        labels=_labels(records),
        cheap=_tier([record.cheap for record in records], "cheap"),
        big=_tier([record.big for record in records], "big"),
        memory=_memory(records),
    )


def data_hash(records: Sequence[Record]) -> str:
    """Return 32 hex digits of the records' content, whatever their order."""
    return stable_id("records", *sorted(record.model_dump_json() for record in records))


def none_out_of_scope(share: float) -> str:
    """Return the line about records of which ``share`` (0 to 1) should be out of scope, and none is."""
    return f"no record is out of scope (without a label), and a share of {share:.2%} should be"


def refuse_other_records(fitted: Fitted | None, records: Sequence[Record]) -> None:
    """Raise SettingsError if a policy was fitted on other labels, models or prompts than the records have, or if they mix several.

    The records keep the labels' masses, so that the numbers of today's reading follow from them; a policy fitted with
    another reading is refused.
    """
    if fitted is None:
        _refuse_mixtures(records)
        return
    refuse_other_reading(fitted)
    found = origin(records)
    refuse_other_memory(fitted, found.memory)
    if set(found.labels) != set(fitted.labels):
        raise SettingsError("the policy was fitted for other labels than those of the records")
    for tier, theirs, ours in (("cheap", found.cheap, fitted.cheap), ("big", found.big, fitted.big)):
        for name, value in theirs:
            if value != getattr(ours, name):
                raise SettingsError(
                    f"the policy was fitted for {tier}.{name} {getattr(ours, name)!r}, the records have {value!r}: "
                    f"run hedgerow calibrate on them"
                )


def _refuse_mixtures(records: Sequence[Record]) -> None:
    _memory(records)
    _labels(records)
    _refuse_mixed_calls([record.cheap for record in records], "cheap")
    _refuse_mixed_calls([record.big for record in records], "big")


def _refuse_mixed_calls(calls: Sequence[Call], tier: Tier) -> list[Call]:
    """Return the calls that are scored; raises SettingsError if they are of several models or prompts."""
    scored = [call for call in calls if isinstance(call.signal, Scored)]
    for name in ("model_asked", "model_returned", "prompt_hash"):
        found = sorted({str(getattr(call, name)) for call in scored})
        if len(found) > 1:
            raise SettingsError(
                f"the records mix several values of {tier}.{name} ({', '.join(found[:3])}): separate them"
            )
    return scored


def _tier(calls: Sequence[Call], tier: Tier) -> FittedTier:
    scored = _refuse_mixed_calls(calls, tier)
    if not scored:
        raise SettingsError(f"the records hold no scored answer of the {tier} tier: nothing can be fitted to them")
    first = scored[0]
    return FittedTier(model_asked=first.model_asked, model_returned=first.model_returned, prompt_hash=first.prompt_hash)


def _memory(records: Sequence[Record]) -> FittedMemory | None:
    found = {record.memory for record in records}
    if len({memory and memory.rule for memory in found}) > 1:
        raise SettingsError(f"the records mix answers {' and '.join(sorted(map(with_memory, found)))}: separate them")
    return min((memory for memory in found if memory is not None), key=lambda memory: memory.size, default=None)


def _labels(records: Sequence[Record]) -> tuple[str, ...]:
    found = {
        tuple(call.signal.label_probs)
        for record in records
        for call in (record.cheap, record.big)
        if isinstance(call.signal, Scored)
    }
    sets = {frozenset(labels) for labels in found}
    if len(sets) > 1:
        raise SettingsError("the records mix several sets of labels: separate them")
    return min(found, default=())
