"""Attention as kernels of TPUs and GPUs: blocks of scores that never leave the chip, forwards and backwards.

After Dao et al. (2022), "FlashAttention", and Rabe and Staats (2021). A TPU's is JAX's splash attention in Pallas. It
wants lengths and head widths that are multiples of 128: what is missing is filled up with zeros, which add nothing to a
product, and with positions of a segment of their own, which no other sees. A GPU's is cuDNN's, which is told by a mask
what each query sees: a byte or two for each pair of positions, the same for all heads.

Shapes: B batch, T queries, S keys, H heads, K head width.
"""
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernel
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jaxtyping import Array, Float, Int

LANES = 128
"""Lengths and widths are multiples of this."""
BLOCK = 512
"""Queries and keys of a block, at most."""
NOWHERE = -1
"""Segment of what was filled up."""


def splash(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    segments: Int[Array, "B T"],
    key_segments: Int[Array, "B S"],
    *,
    causal: bool = False,
    interpret: bool = False,
) -> Float[Array, "B T H K"]:
    """z of attention.attention, whose q comes scaled too; `interpret` runs the kernel on any device, slowly."""
    (T, H, K), S = q.shape[1:], k.shape[1]
    q, k, v = (_filled(jnp.swapaxes(x, 1, 2), (2, 3)) for x in (q, k, v))
    rows = kernel.SegmentIds(_filled(segments, (1,), NOWHERE), _filled(key_segments, (1,), NOWHERE))
    queries, keys = q.shape[2], k.shape[2]
    seen = np.tril(np.ones((T, S), bool)) if causal else np.ones((T, S), bool)
    seen = np.pad(seen, ((0, queries - T), (0, keys - S)), constant_values=True)
    blocks = dict.fromkeys(("block_q", "block_q_dkv", "block_q_dq"), _block(queries))
    blocks |= dict.fromkeys(("block_kv", "block_kv_compute", "block_kv_dkv", "block_kv_dkv_compute", "block_kv_dq"),
                            _block(keys))
    attend = kernel.make_splash_mha(
        masks.MultiHeadMask([masks.NumpyMask(seen)] * H), head_shards=1, q_seq_shards=1, interpret=interpret,
        block_sizes=kernel.BlockSizes(**blocks),
    )
    z = jax.vmap(attend)(q, k, v, rows)
    return jnp.swapaxes(z, 1, 2)[:, :T, :, :K]


def cudnn(
    q: Float[Array, "B T H K"],
    k: Float[Array, "B S H K"],
    v: Float[Array, "B S H K"],
    segments: Int[Array, "B T"],
    key_segments: Int[Array, "B S"],
    *,
    causal: bool = False,
    implementation: Literal["cudnn", "xla"] = "cudnn",
) -> Float[Array, "B T H K"]:
    """z of attention.attention, whose q comes scaled too; "xla" gives the same on any device."""
    seen = (segments[:, :, None] == key_segments[:, None, :])[:, None]
    return jax.nn.dot_product_attention(
        q, k, v, mask=seen, scale=1.0, is_causal=causal, implementation=implementation
    )


def known(head_width: int) -> dict[str, Callable[..., Array]]:
    """The kernel of each platform that this process may write programs for, if it takes heads of this width.

    cuDNN takes multiples of 8 up to 128, and its programs cannot be written where there is no GPU.
    """
    takes = head_width % 8 == 0 and head_width <= 128 and jax.default_backend() == "gpu"
    return {"tpu": splash} | ({"cuda": cudnn} if takes else {})


def _filled(x: Array, axes: tuple[int, ...], value: int = 0) -> Array:
    """With axes as long as the next multiple of LANES."""
    return jnp.pad(x, [(0, -size % LANES if axis in axes else 0) for axis, size in enumerate(x.shape)],
                   constant_values=value)


def _block(length: int) -> int:
    """The longest block that a length is a multiple of."""
    return next(block for block in (BLOCK, 384, 256, LANES) if length % block == 0)
