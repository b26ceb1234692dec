"""Gemma 3 in JAX: the logits after every token, from the tensors of a GGUF file, and the gradients of their loss.

Written for gradients, which the serving runtime does not give; a check compares its logits with the runtime's. Differs
from other decoders in: embeddings scaled by the root of their size, norms on both sides of each block and on every
head's query and key, one key and value head for four queries, and two rotation bases, since five layers of six see
only the last 512 tokens. Texts here are shorter than that, so every layer sees all of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.tinychange.real.gradients import Weights, normed

LAYERS, WIDTH, HEADS, HEAD = 18, 640, 4, 256
_GLOBAL_EVERY = 6
_LOCAL_BASE, _GLOBAL_BASE = 1e4, 1e6


def logits_of(weights: Weights, tokens: Any) -> Any:
    """Return the logits (tokens, vocabulary) after each token of one text."""
    import jax
    import jax.numpy as jnp

    def block(x: Any, layer: int) -> Any:
        def weight(name: str) -> Any:
            return weights[f"blk.{layer}.{name}.weight"]

        base = _GLOBAL_BASE if (layer + 1) % _GLOBAL_EVERY == 0 else _LOCAL_BASE
        inner = normed(x, weight("attn_norm"))
        query = (inner @ weight("attn_q").T).reshape(length, HEADS, HEAD)
        query = _rotated(normed(query, weight("attn_q_norm")), base)
        key = _rotated(normed((inner @ weight("attn_k").T)[:, None], weight("attn_k_norm")), base)[:, 0]
        scores = jnp.einsum("qhd,kd->hqk", query, key) / np.sqrt(HEAD)
        seen = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        mixed = jnp.einsum("hqk,kd->qhd", seen, inner @ weight("attn_v").T).reshape(length, HEADS * HEAD)
        x += normed(mixed @ weight("attn_output").T, weight("post_attention_norm"))
        inner = normed(x, weight("ffn_norm"))
        gated = jax.nn.gelu(inner @ weight("ffn_gate").T, approximate=True) * (inner @ weight("ffn_up").T)
        return x + normed(gated @ weight("ffn_down").T, weight("post_ffw_norm"))

    length = len(tokens)
    causal = np.tri(length, dtype=bool)
    x = weights["token_embd.weight"][tokens] * np.float32(np.sqrt(WIDTH))
    for layer in range(LAYERS):
        x = block(x, layer)
    return normed(x, weights["output_norm.weight"]) @ weights["token_embd.weight"].T


def _rotated(x: Any, base: float) -> Any:
    """Rotate the pairs (i, i + half) of the last axis of (tokens, heads, size) by each token's position."""
    import jax.numpy as jnp

    half = x.shape[-1] // 2
    angles = np.arange(len(x))[:, None] * base ** (-np.arange(half) / half)
    cosine, sine = (np.asarray(one, np.float32)[:, None] for one in (np.cos(angles), np.sin(angles)))
    first, second = x[..., :half], x[..., half:]
    return jnp.concatenate((first * cosine - second * sine, second * cosine + first * sine), axis=-1)
