"""What a policy was fitted on, and the refusal to use it for anything else."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from streams.core.wording import counted
from streams.errors import SettingsError

READING: Final = 3
"""Which reading of answers this is: it grows when the same response can get other numbers. Since 2 the entropy that
decides counts what belongs to no label, and only the answer behind a model's thought is read. Since 3 the beginning of
another sentence ("I" alongside "invoice") counts for no label."""

_AGAIN = "use its own settings, or run hedgerow evaluate and hedgerow calibrate again"

_ENOUGH = 0.8
"""The least share of the examples that a policy was fitted with; with fewer a model is a different one."""

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FittedTier(_Section):
    """One tier's model as the records name it: the name asked for, the id returned, the hash of the prompt."""

    model_asked: str
    model_returned: str | None
    """None if the API returns none."""
    prompt_hash: str


class FittedMemory(_Section):
    """The memory that answers were recorded with."""

    embedding_model: str
    examples: Annotated[int, Field(ge=0)]
    """How many examples a prompt held at most."""
    size: Annotated[int, Field(ge=0)]
    """How many examples the memory had."""

    @property
    def rule(self) -> tuple[str, int]:
        """What must be the same for two memories to show a model the same examples; they may grow."""
        return self.embedding_model, self.examples


class BoundedMemory(_Section):
    """How often the labelled tickets were wrong that answer alone, on records that the rule for them was chosen on."""

    answered: Annotated[int, Field(ge=1)]
    wrong: Annotated[int, Field(ge=0)]
    bound: Share
    """On the error rate, at the promise's level, whichever of the rules tried was chosen."""


class Promise(_Section):
    """What was asked of the policy when it was chosen."""

    max_error: Share
    """The bound on the share of errors among those accepted without a reviewer: wrong labels, and tickets out of scope."""
    level: Annotated[float, Field(gt=0, lt=1)]
    """The confidence at which that bound holds."""
    keep: Share
    """The least share of the big model's accuracy on the same tickets."""
    min_saving: Annotated[float, Field(ge=-1, le=1)]
    """The least saving in model calls against asking the big model about every ticket."""
    max_review: Share
    """The largest share of tickets that reviewers can take."""
    review_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """What a reviewer's decision costs, USD."""
    out_of_scope_share: Share | None = None
    """The share of tickets out of scope at which the bound holds; None: of a policy that did not count them."""
    max_out_of_scope: Share = 1.0
    """The largest share of the tickets out of scope that may be routed, if that can be kept."""


class Fitted(_Section):
    """Where a policy comes from: a worker refuses it for other models, another prompt or other labels."""

    reading: Annotated[int, Field(ge=1)] = 1
    """The reading of answers (``READING``) that gave the numbers it was fitted on."""
    data_hash: str
    """Of the records, whatever their order."""
    records: Annotated[int, Field(ge=1)]
    date: datetime.date
    labels: tuple[str, ...]
    cheap: FittedTier
    big: FittedTier
    promise: Promise
    memory: FittedMemory | None = None
    """None: it was fitted on answers without a memory."""
    tier_zero: BoundedMemory | None = None
    """None: the memory never answers alone."""
    figures: dict[str, float | None]
    """What the policy did on the records it was tested on, which are not those it was chosen on."""


def refuse_other_reading(fitted: Fitted) -> None:
    """Raise SettingsError if the policy was fitted on numbers that answers no longer get."""
    if fitted.reading != READING:
        raise SettingsError(
            f"the policy was fitted with reading {fitted.reading} of the answers, this is reading {READING}, which gives "
            "other numbers: calibrate again (hedgerow calibrate)"
        )


def refuse_other_labels(fitted: Fitted, labels: Sequence[str]) -> None:
    """Raise SettingsError if the policy was fitted for other labels, or with another reading of the answers."""
    refuse_other_reading(fitted)
    odd = sorted(set(fitted.labels) ^ set(labels))
    if odd:
        names = ", ".join(map(repr, odd[:5]))
        raise SettingsError(f"the policy was fitted for other labels (not in both: {names}): {_AGAIN}")


def refuse_others(fitted: Fitted, labels: Sequence[str], prompt_hash: str, cheap_model: str, big_model: str) -> None:
    """Raise SettingsError if the policy was fitted for other labels, another prompt, model or reading."""
    refuse_other_labels(fitted, labels)
    for name, tier, model in (("cheap", fitted.cheap, cheap_model), ("big", fitted.big, big_model)):
        if tier.model_asked != model:
            raise SettingsError(
                f"the policy was fitted for the {name} model {tier.model_asked!r}, not {model!r}: {_AGAIN}"
            )
        if tier.prompt_hash != prompt_hash:
            raise SettingsError(
                f"the policy was fitted for the prompt {tier.prompt_hash} of the {name} tier, not {prompt_hash}: {_AGAIN}"
            )


def refuse_other_memory(fitted: Fitted, memory: FittedMemory | None) -> None:
    """Raise SettingsError if the policy was fitted with a memory of another embedding model or number of examples."""
    wanted = fitted.memory
    if wanted is not None and (memory is None or wanted.rule != memory.rule):
        raise SettingsError(f"the policy was fitted {with_memory(wanted)}, not {with_memory(memory)}: {_AGAIN}")


def with_memory(memory: FittedMemory | None) -> str:
    """Say what answers were recorded with."""
    if memory is None:
        return "without a memory"
    return f"with a memory of {memory.embedding_model} that shows {counted(memory.examples, 'example')}"


def examples_needed(fitted: Fitted | None) -> int:
    """Return the least number of examples in a memory that a policy may decide with; 0 if it was fitted without one."""
    return 0 if fitted is None or fitted.memory is None else math.ceil(_ENOUGH * fitted.memory.size)


def refuse_smaller_memory(fitted: Fitted | None, memory: FittedMemory) -> None:
    """Raise SettingsError if a memory has less than 0.8 of the examples that the policy was fitted with."""
    wanted = None if fitted is None else fitted.memory
    if wanted is not None and memory.size < _ENOUGH * wanted.size:
        raise SettingsError(
            f"the memory has {counted(memory.size, 'example')}, and the policy was fitted with {wanted.size}: less than "
            f"{_ENOUGH:.0%} of them; {_AGAIN}"
        )
