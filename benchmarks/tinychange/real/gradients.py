"""Gradients of a model's loss in JAX, which the serving runtime does not give."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

Weights = Mapping[str, Any]
"""Tensors by their names in a GGUF file, as (out, in) matrices."""

Forward = Callable[[Weights, Any], Any]
"""From weights and the tokens of one text to the logits (tokens, vocabulary) after each of them."""


def on_device(weights: Weights) -> dict[str, Any]:
    """Return tensors as JAX's own; it works in one thread from then on."""
    os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)
    import jax.numpy as jnp

    return {name: jnp.asarray(value) for name, value in weights.items()}


def gradient(logits_of: Forward, trained: Sequence[str]) -> Callable[[Weights, Sequence[int]], dict[str, Any]]:
    """Return a function of (weights, text) that gives the loss's gradients by the names of the trained tensors.

    The loss is the mean of -ln P over the text's tokens after the first. Texts of one length are compiled once.
    """
    import jax
    import jax.numpy as jnp

    def loss(moving: Weights, still: Weights, tokens: Any) -> Any:
        log_probs = jax.nn.log_softmax(logits_of({**moving, **still}, tokens[:-1]))
        return -jnp.take_along_axis(log_probs, tokens[1:, None], axis=1).mean()

    compiled = jax.jit(jax.grad(loss))

    def of(weights: Weights, tokens: Sequence[int]) -> dict[str, Any]:
        moving = {name: weights[name] for name in trained}
        still = {name: value for name, value in weights.items() if name not in moving}
        found: dict[str, Any] = compiled(moving, still, jnp.asarray(tokens))
        return found

    return of


def normed(x: Any, weight: Any, epsilon: float = 1e-6) -> Any:
    """Return the last axis of ``x`` at length one, times ``weight``."""
    import jax

    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + epsilon) * weight
