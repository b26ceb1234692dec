"""What the server has done so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class ModelCounts:
    """The calls to one model.

    ``answered`` counts whole bodies sent with status 200, spoilt ones too; ``abandoned`` the calls whose client went
    away.
    """

    requests: int = 0
    answered: int = 0
    abandoned: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class ServerStats:
    """Counts since the start: by model alias, by fault that struck, and by HTTP status of refusals."""

    models: dict[str, ModelCounts]
    faults: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, aliases: Iterable[str]) -> ServerStats:
        """Start at zero for these models."""
        return cls({alias: ModelCounts() for alias in aliases})

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain values, with totals over the models."""
        counts = self.models.values()
        return {
            "requests": sum(model.requests for model in counts),
            "answered": sum(model.answered for model in counts),
            "models": {alias: asdict(model) for alias, model in self.models.items()},
            "faults": dict(self.faults),
            "refusals": dict(self.refusals),
        }
