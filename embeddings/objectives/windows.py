"""Windows on the device: which centres and words are pairs, and sums over a window.

What belongs to pairs is kept by offset, `[B, S]`: column o is the word o - window after the centre. Sums over a window
are S - 1 shifted products instead of a matrix product with a band of zeros, and barriers keep the compiler from doing
the same work anew for each shift.

Shapes: K blocks, B centres, S = 2 window + 1 offsets, R = B + 2 window rows, N others, D width.
"""
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Shaped

from embeddings.inputs.words import Windows

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over chunks, devices and steps; means do not."""
Total = Callable[[Array], Array]
"""Adds partial scores up where the width of the tables is split over devices."""


def pairs(chunk: Windows) -> Bool[Array, "K B S"]:
    """m by offset: whether centre and word are a pair."""
    window = (chunk.ids.shape[1] - chunk.left.shape[1]) // 2
    offset = np.arange(-window, window + 1, dtype=np.int32)
    return (offset >= -chunk.left[:, :, None]) & (offset <= chunk.right[:, :, None]) & (offset != 0)


def by_offset(scores: Shaped[Array, "K B R"]) -> Shaped[Array, "K B S"]:
    """What each centre has with all rows -> with the words around it: row i + o of centre i becomes column o."""
    K, B, R = scores.shape
    # In a row that is one longer, what stood on a diagonal stands in a column.
    skewed = jnp.pad(scores.reshape(K, B * R), ((0, 0), (0, B))).reshape(K, B, R + 1)
    return skewed[:, :, : R - B + 1]


def around(weight: Float[Array, "K B S"], rows: Float[Array, "K R D"]) -> Float[Array, "K B D"]:
    """For each centre the weighted sum of the words around it; the centre itself has no part."""
    B, S = weight.shape[1:]
    return sum(weight[:, :, o, None] * rows[:, o : o + B] for o in range(S) if o != S // 2)


def spread(weight: Float[Array, "K B S"], centres: Float[Array, "K B D"]) -> Float[Array, "K R D"]:
    """For each word the weighted sum of the centres around which it stands: the transpose of `around`."""
    B, S = weight.shape[1:]
    wide = [jnp.pad(a, ((0, 0), (S - 1, S - 1), (0, 0))) for a in (weight, centres)]
    weight, centres = jax.lax.optimization_barrier(wide)
    shifts = ((o, slice(S - 1 - o, S - 1 - o + B + S - 1)) for o in range(S) if o != S // 2)
    return sum(weight[:, here, o, None] * centres[:, here] for o, here in shifts)


def centres(rows: Array, chunk: Windows) -> Array:
    """The part of `[K, R, ...]` without the halo."""
    B = chunk.left.shape[1]
    window = (rows.shape[1] - B) // 2
    return rows[:, window : window + B]


def product(equation: str, *operands: Array) -> Array:
    """A matrix product in full single precision, which accelerators do not give by themselves."""
    return jnp.einsum(equation, *operands, precision=jax.lax.Precision.HIGHEST)


def same(x: Array) -> Array:
    """Where the width is not split, a partial score is the whole."""
    return x


def by_both(g: Array, x: Array, u: Array) -> tuple[Array, Array]:
    """From dJ by the scores `[K, B, N]` of x `[K, B, D]` with u `[K, N, D]`: dJ by x and by u."""
    g = jax.lax.optimization_barrier(g)
    turned = jax.lax.optimization_barrier(jnp.swapaxes(g, 1, 2))
    return product("kbn,knd->kbd", g, u), product("knb,kbd->knd", turned, x)
