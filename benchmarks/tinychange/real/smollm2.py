"""SmolLM2-135M in JAX, an ordinary decoder of the Llama kind: the logits after every token, from the tensors of a GGUF file.

A check compares its logits with the runtime's. Three query heads share a key and value head; in the file the pairs that
are rotated together stand side by side; the embeddings are the output's weights as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.tinychange.real.gradients import Weights, normed

LAYERS, HEADS, KEYS, HEAD = 30, 9, 3, 64
_EPSILON = 1e-5
_BASE = 1e5


def logits_of(weights: Weights, tokens: Any) -> Any:
    """Return the logits (tokens, vocabulary) after each token of one text."""
    import jax
    import jax.numpy as jnp

    def block(x: Any, layer: int) -> Any:
        def weight(name: str) -> Any:
            return weights[f"blk.{layer}.{name}.weight"]

        inner = normed(x, weight("attn_norm"), _EPSILON)
        query = _rotated((inner @ weight("attn_q").T).reshape(length, HEADS, HEAD))
        key = _rotated((inner @ weight("attn_k").T).reshape(length, KEYS, HEAD))
        value = (inner @ weight("attn_v").T).reshape(length, KEYS, HEAD)
        shared = HEADS // KEYS
        scores = jnp.einsum("qhd,khd->hqk", query, jnp.repeat(key, shared, axis=1)) / np.sqrt(HEAD)
        seen = jax.nn.softmax(jnp.where(causal, scores, -jnp.inf), axis=-1)
        mixed = jnp.einsum("hqk,khd->qhd", seen, jnp.repeat(value, shared, axis=1)).reshape(length, HEADS * HEAD)
        x += mixed @ weight("attn_output").T
        inner = normed(x, weight("ffn_norm"), _EPSILON)
        return x + (jax.nn.silu(inner @ weight("ffn_gate").T) * (inner @ weight("ffn_up").T)) @ weight("ffn_down").T

    length = len(tokens)
    causal = np.tri(length, dtype=bool)
    x = weights["token_embd.weight"][tokens]
    for layer in range(LAYERS):
        x = block(x, layer)
    return normed(x, weights["output_norm.weight"], _EPSILON) @ weights["token_embd.weight"].T


def _rotated(x: Any) -> Any:
    """Rotate the pairs (2i, 2i + 1) of the last axis of (tokens, heads, size) by each token's position."""
    import jax.numpy as jnp

    size = x.shape[-1]
    angles = np.arange(len(x))[:, None] * _BASE ** (-np.arange(0, size, 2) / size)
    cosine, sine = (np.asarray(one, np.float32)[:, None] for one in (np.cos(angles), np.sin(angles)))
    first, second = x[..., ::2], x[..., 1::2]
    return jnp.stack((first * cosine - second * sine, second * cosine + first * sine), axis=-1).reshape(x.shape)
