"""Scaled dot-product attention, in the forms that devices are fastest at; the first one is what the others are held to.

    z_t = sum_s a_ts v_s,   a_t = softmax over the s that t sees of (q_t . k_s + bias_ts)

q comes scaled by 1 / sqrt(K) already.

    xla      matrix products over the whole batch, on any device; the reference
    rows     the same, one row of the batch after the other: the scores of one stay in a processor's cache
    splash   Pallas kernel for TPUs: blocks of scores that never leave the chip, segments by number
    cudnn    NVIDIA's fused kernel

Shapes: B batch, T queries, S keys, H heads, K head width.
"""
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

Implementation = Literal["xla", "rows", "splash", "cudnn"]

HIDDEN = -1e9
"""Added to the score of a key that is not seen: its weight is exactly 0 unless a query sees no key at all."""


def hidden(queries: Int[Array, "*B T"], keys: Int[Array, "*B S"], causal: bool) -> Float[Array, "*B T S"]:
    """What is added to scores: 0 for the keys of a query's segment, if causal not for those that come after it."""
    seen = queries[..., :, None] == keys[..., None, :]
    seen = seen & jnp.tril(jnp.ones(seen.shape[-2:], bool)) if causal else seen
    return jnp.where(seen, 0.0, HIDDEN)


def attention(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    segments: Int[Array, "B T"],
    key_segments: Int[Array, "B S"],
    *,
    bias: Float[Array, "#B H T S"] | None = None,
    causal: bool = False,
    dropout: tuple[PRNGKeyArray, float] | None = None,
    weights: bool = False,
    implementation: Implementation = "xla",
) -> tuple[Float[Array, "B T H K"], Float[Array, "B H T S"] | None]:
    """z, and a (after dropout) if `weights`; `dropout` is a key and the share of weights to drop.

    The kernels know neither dropout nor bias nor weights: where one is asked for, the reference does it.
    """
    plain = bias is None and dropout is None and not weights
    if implementation == "rows" and plain:
        return _rows(q, k, v, segments, key_segments, causal), None
    if implementation in ("splash", "cudnn") and plain:
        from embeddings.models import kernels  # late: Pallas takes a second to import

        return kernels.attention(q, k, v, segments, key_segments, causal, implementation), None
    exact = jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None
    scores = jnp.einsum("bthk,bshk->bhts", q, k, precision=exact, preferred_element_type=jnp.float32)
    if bias is not None:
        scores = scores + bias
    scores = scores + hidden(segments, key_segments, causal)[:, None]
    raised = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
    total = jnp.sum(raised, axis=-1)
    if plain:  # dividing what is summed up takes K divisions a query instead of S
        z = jnp.einsum("bhts,bshk->bthk", raised.astype(v.dtype), v, precision=exact)
        return z / jnp.swapaxes(total, 1, 2)[..., None].astype(z.dtype), None
    a = raised / total[..., None]
    if dropout is not None:
        key, rate = dropout
        a = jnp.where(jax.random.bernoulli(key, 1 - rate, a.shape), a / (1 - rate), 0.0)
    return jnp.einsum("bhts,bshk->bthk", a.astype(v.dtype), v, precision=exact), a if weights else None


def _rows(q: Array, k: Array, v: Array, segments: Array, key_segments: Array, causal: bool) -> Array:
    """One row after the other; heads stand before positions, which is what products of matrices are fastest with."""
    exact = jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None

    def one(row: tuple[Array, ...]) -> Array:
        *qkv, queries, keys = row
        q, k, v = jax.lax.optimization_barrier(tuple(jnp.swapaxes(a, 0, 1) for a in qkv))
        scores = jnp.einsum("htk,hsk->hts", q, k, precision=exact, preferred_element_type=jnp.float32)
        scores = scores + hidden(queries, keys, causal)
        raised = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
        total = jnp.sum(raised, axis=-1, keepdims=True).astype(v.dtype)
        return jnp.swapaxes(jnp.einsum("hts,hsk->htk", raised.astype(v.dtype), v, precision=exact) / total, 0, 1)

    return jax.lax.map(one, (q, k, v, segments, key_segments))
