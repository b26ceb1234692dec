"""The contracts of the sandbox's endpoints, so that a demo shows what the guards notice."""

from __future__ import annotations

from typing import Any

from schemas import Tier

#: With 20 asked for, fewer than these are no distribution over labels any more.
_MIN_K = 5


def sandbox_contract(tier: Tier, model: str) -> dict[str, Any]:
    """Return one endpoint's contract, as it would stand in a contracts file."""
    return {
        "provider": "sandbox",
        "tier": tier,
        "model": model,
        "relies_on": {"logprobs": "accept", "top_logprobs": "accept", "model": "accept", "usage": "spend"},
        "min_k": _MIN_K,
        "model_ids": [f"{model}*"],
        "guarantee": {
            "promise": "20 alternatives at every token, unless a fault is switched on",
            "written_in": "streams/sandbox/model_server",
        },
        "owner": "the demo",
        "signed_off_by": "the demo",
    }
