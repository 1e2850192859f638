"""Scaled dot-product attention, in the forms that devices are fastest at; the first one is what the others are held to.

    z_t = sum_s a_ts v_s,   a_t = softmax over the s that t sees of (q_t . k_s + bias_ts)

q comes scaled by 1 / sqrt(K) already.

    xla      matrix products over the whole batch, on any device; the reference
    rows     the same, a few rows of the batch after the other: their scores stay in a processor's cache
    kernel   scores that never leave the chip, in bfloat16: splash on TPUs, cuDNN's on NVIDIA's GPUs (kernels.py);
             elsewhere the reference

Shapes: B batch, T queries, S keys, H heads, K head width.
"""
import functools
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.models.dropout import Keys, kept, scaled

Implementation = Literal["xla", "rows", "kernel"]

SUITED: dict[str, Implementation] = {"cpu": "rows", "gpu": "kernel"}
"""What a device is fastest with, alone or under jax.shard_map; "xla" elsewhere. A TPU's kernel has not been timed."""

AT_ONCE = 512
"""Queries whose rows go together where rows follow one another: fewer keep a core waiting, more leave the cache. With
dropout each row goes by itself: together they took 250 MB more in training, and no less time."""

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
    bias: Float[Array, "H T S"] | None = None,
    causal: bool = False,
    dropout: tuple[Keys, float] | None = None,
    weights: bool = False,
    implementation: Implementation = "xla",
) -> tuple[Float[Array, "B T H K"], Float[Array, "B H T S"] | None]:
    """z, and a (after dropout) if `weights`; `dropout` is a key for each row and the share of weights to drop.

    Kernels know neither bias nor dropout nor weights, and rows no weights: the reference does these.
    """
    if implementation == "kernel" and q.dtype == jnp.bfloat16 and bias is None and dropout is None and not weights:
        from embeddings.models import kernels  # late: Pallas takes a second to import

        def elsewhere(*inputs: Array) -> Array:
            return attention(*inputs, causal=causal)[0]

        known = {name: functools.partial(kernel, causal=causal) for name, kernel in kernels.known(q.shape[-1]).items()}
        return jax.lax.platform_dependent(q, k, v, segments, key_segments, default=elsewhere, **known), None
    keys, rate = dropout or (None, 0.0)

    @functools.partial(jax.checkpoint, prevent_cse=False)
    def one(row: tuple) -> tuple[Array, Array | None]:
        return _row(*row, bias, causal, rate, weights)

    rows, (B, T) = (q, k, v, segments, key_segments, keys), q.shape[:2]
    if implementation == "rows" and not weights:
        most = 1 if dropout or not q.size else max(1, min(B, AT_ONCE // T))  # a layer may have no head left
        together = next(n for n in range(most, 0, -1) if B % n == 0)
        return jax.lax.map(one, rows, batch_size=together if together > 1 else None)
    return jax.vmap(one)(rows)


def _row(
    q: Float[Array, "T H K"],
    k: Float[Array, "S H K"],
    v: Float[Array, "S H K"],
    segments: Int[Array, "T"],
    key_segments: Int[Array, "S"],
    key: PRNGKeyArray | None,
    bias: Float[Array, "H T S"] | None,
    causal: bool,
    rate: float,
    weights: bool,
) -> tuple[Float[Array, "T H K"], Float[Array, "H T S"] | None]:
    """z of one row, and a. Heads stand before positions, which is what products of matrices are fastest with."""
    exact = jax.lax.Precision.HIGHEST if q.dtype == jnp.float32 else None
    q, k, v = jax.lax.optimization_barrier(tuple(jnp.swapaxes(x, 0, 1) for x in (q, k, v)))
    scores = jnp.einsum("htk,hsk->hts", q, k, precision=exact, preferred_element_type=jnp.float32)
    scores = (scores if bias is None else scores + bias) + hidden(segments, key_segments, causal)
    raised = jnp.exp(scores - jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True)))
    total = jnp.sum(raised, axis=-1, keepdims=True)
    a = raised / total if weights else None
    if key is not None and rate:
        keep = kept(key, rate, raised.shape)
        raised, a = scaled(raised, keep, rate), None if a is None else scaled(a, keep, rate)
    # Dividing what is summed up takes K divisions a query instead of S.
    z = jnp.einsum("hts,hsk->htk", raised.astype(v.dtype), v, precision=exact) / total.astype(v.dtype)
    return jnp.swapaxes(z, 0, 1), a
