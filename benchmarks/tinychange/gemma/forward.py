"""Gemma 3 in JAX: the logits after every token, from the tensors of a GGUF file, and the gradients of their loss.

Written for gradients, which the serving runtime does not give; a check compares its logits with the runtime's. Differs
from other decoders in: embeddings scaled by the root of their size, norms on both sides of each block and on every
head's query and key, one key and value head for four queries, and two rotation bases, since five layers of six see
only the last 512 tokens. Texts here are shorter than that, so every layer sees all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LAYERS, WIDTH, HEADS, HEAD = 18, 640, 4, 256
_EPSILON = 1e-6
_GLOBAL_EVERY = 6
_LOCAL_BASE, _GLOBAL_BASE = 1e4, 1e6
_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

Weights = Mapping[str, Any]
"""Tensors by their names in a GGUF file, as (out, in) matrices."""


def logits_of(weights: Weights, tokens: Any) -> Any:
    """Return the logits (tokens, vocabulary) after each token of one text."""
    import jax
    import jax.numpy as jnp

    def block(x: Any, layer: int) -> Any:
        def weight(name: str) -> Any:
            return weights[f"blk.{layer}.{name}.weight"]

        base = _GLOBAL_BASE if (layer + 1) % _GLOBAL_EVERY == 0 else _LOCAL_BASE
        inner = _norm(x, weight("attn_norm"))
        query = (inner @ weight("attn_q").T).reshape(length, HEADS, HEAD)
        query = _rotated(_norm(query, weight("attn_q_norm")), base)
        key = _rotated(_norm((inner @ weight("attn_k").T)[:, None], weight("attn_k_norm")), base)[:, 0]
        scores = jnp.einsum("qhd,kd->hqk", query, key) / np.sqrt(HEAD)
        seen = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        mixed = jnp.einsum("hqk,kd->qhd", seen, inner @ weight("attn_v").T).reshape(length, HEADS * HEAD)
        x += _norm(mixed @ weight("attn_output").T, weight("post_attention_norm"))
        inner = _norm(x, weight("ffn_norm"))
        gated = jax.nn.gelu(inner @ weight("ffn_gate").T, approximate=True) * (inner @ weight("ffn_up").T)
        return x + _norm(gated @ weight("ffn_down").T, weight("post_ffw_norm"))

    length = len(tokens)
    causal = np.tri(length, dtype=bool)
    x = weights["token_embd.weight"][tokens] * np.float32(np.sqrt(WIDTH))
    for layer in range(LAYERS):
        x = block(x, layer)
    return _norm(x, weights["output_norm.weight"]) @ weights["token_embd.weight"].T


def on_device(weights: Weights) -> dict[str, Any]:
    """Return tensors as JAX's own; it works in one thread from then on."""
    os.environ.setdefault("XLA_FLAGS", _ONE_THREAD)
    import jax.numpy as jnp

    return {name: jnp.asarray(value) for name, value in weights.items()}


def gradient(trained: Sequence[str]) -> Callable[[Weights, Sequence[int]], dict[str, Any]]:
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


def _norm(x: Any, weight: Any) -> Any:
    import jax

    return x * jax.lax.rsqrt((x * x).mean(axis=-1, keepdims=True) + _EPSILON) * weight


def _rotated(x: Any, base: float) -> Any:
    """Rotate the pairs (i, i + half) of the last axis of (tokens, heads, size) by each token's position."""
    import jax.numpy as jnp

    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
    cosine, sine = (np.asarray(one, np.float32)[:, None] for one in (np.cos(angles), np.sin(angles)))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)
