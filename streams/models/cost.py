"""What a model call costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, in and out."""

    input: float
    output: float

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what a call with these token counts costs, USD."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / 1e6
