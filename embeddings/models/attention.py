"""Scaled dot-product attention, in the forms that devices are fastest at; the first one is what the others are held to.

    z_t = sum_s a_ts v_s,   a_t = softmax over the s that t sees of (q_t . k_s + bias_ts)

q comes scaled by 1 / sqrt(K) already.

    xla      matrix products, on any device; the reference
    splash   Pallas kernel for TPUs: blocks of scores that never leave the chip, segments by number
    cudnn    NVIDIA's fused kernel

Shapes: B batch, T queries, S keys, H heads, K head width.
"""
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Implementation = Literal["xla", "splash", "cudnn"]

HIDDEN = -1e9
"""Score of a key that is not seen: its weight is exactly 0 unless a query sees no key at all."""


def visible(queries: Int[Array, "B T"], keys: Int[Array, "B S"], causal: bool) -> Bool[Array, "B T S"]:
    """Which key each query sees: those of its segment, and if causal none that comes after it."""
    same = queries[:, :, None] == keys[:, None, :]
    return same & jnp.tril(jnp.ones(same.shape[1:], bool)) if causal else same


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
    if implementation != "xla" and bias is None and dropout is None and not weights:
        from embeddings.models import kernels  # late: Pallas takes a second to import

        return kernels.attention(q, k, v, segments, key_segments, causal, implementation), None
    exact = jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None
    scores = jnp.einsum("bthk,bshk->bhts", q, k, precision=exact, preferred_element_type=jnp.float32)
    if bias is not None:
        scores = scores + bias
    scores = jnp.where(visible(segments, key_segments, causal)[:, None], scores, HIDDEN)
    raised = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
    total = jnp.sum(raised, axis=-1)
    if dropout is None and not weights:  # dividing what is summed up takes K divisions a query instead of S
        z = jnp.einsum("bhts,bshk->bthk", raised.astype(v.dtype), v, precision=exact)
        return z / jnp.swapaxes(total, 1, 2)[..., None].astype(z.dtype), None
    a = raised / total[..., None]
    if dropout is not None:
        key, rate = dropout
        a = jnp.where(jax.random.bernoulli(key, 1 - rate, a.shape), a / (1 - rate), 0.0)
    return jnp.einsum("bhts,bshk->bthk", a.astype(v.dtype), v, precision=exact), a if weights else None
