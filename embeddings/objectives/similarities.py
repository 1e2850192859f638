"""The softmax over all similarities of two sets of vectors, both ways, in memory that is linear in their number.

    s_ij = a_i . b_j        r_i = log sum_j exp(s_ij)        c_j = log sum_i exp(s_ij)

over the pairs that are not left out. The matrix is never there: it is made in blocks of rows, once on the way in,
r directly and c added up as it goes (Milakov and Gimelshein 2018), and once on the way back, where the gradient is

    dJ / ds_ij = dJ / dr_i exp(s_ij - r_i) + dJ / dc_j exp(s_ij - c_j)

A pair (i, j) off the diagonal is left out where the texts behind it are no strangers: where i's first text is j's first
or second, or i's second is j's second. Texts are compared by number.

Shapes: N vectors a, M vectors b (the first N of them belong to the a, each to its own), E width.
"""
import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jaxtyping import Array, Bool, Float, Int

BLOCK = 256
"""Rows of the matrix that are there at a time."""
HIDDEN = -1e9


class Texts(NamedTuple):
    """Which texts the vectors are of; equal texts have equal numbers, and -1 is no text at all."""

    first: Int[Array, "N"]
    """Behind each a."""
    second: Int[Array, "M"]
    """Behind each b."""


def allowed(texts: Texts, rows: Int[Array, "n"]) -> Bool[Array, "n M"]:
    """Which pairs of some rows count."""
    N, M = len(texts.first), len(texts.second)
    first, own = texts.first[rows][:, None], texts.second[jnp.minimum(rows, M - 1)][:, None]
    column = jnp.arange(M)
    equal = (own == texts.second) | (first == texts.second)
    equal |= jnp.where(column < N, first == texts.first[jnp.minimum(column, N - 1)], False)
    return (~equal | (rows[:, None] == column)) & (first >= 0) & (texts.second >= 0)


def log_sums(
    a: Float[Array, "N E"], b: Float[Array, "M E"], texts: Texts, sharding: NamedSharding | None = None
) -> tuple[Float[Array, "N"], Float[Array, "M"]]:
    """r and c; `sharding` says how the rows of a block are split over devices, where there are several."""
    N = len(a)
    number = -(-N // BLOCK)
    size = -(-N // number)
    if sharding is not None:
        size = -(-size // _parts(sharding)) * _parts(sharding)
    padding = number * size - N
    texts = texts._replace(first=jnp.pad(texts.first, (0, padding), constant_values=-1))
    r, c = _log_sums(number, sharding, jnp.pad(a, ((0, padding), (0, 0))), b, texts)
    return r[:N], c


def _parts(sharding: NamedSharding) -> int:
    axes = sharding.spec[0]
    return math.prod(sharding.mesh.shape[name] for name in ((axes,) if isinstance(axes, str) else axes))


def _scores(
    number: int, sharding: NamedSharding | None, a: Array, b: Array, texts: Texts, first: Array
) -> tuple[Array, Array, Array]:
    """A block: every number-th row from `first` on, so that it has rows of all devices; these rows and their a."""
    rows = first + number * jnp.arange(len(a) // number)
    some = a[rows]
    some = some if sharding is None else jax.lax.with_sharding_constraint(some, sharding)
    s = jnp.einsum("ne,me->nm", some, b, precision=jax.lax.Precision.HIGHEST)
    return jnp.where(allowed(texts, rows), s, HIDDEN), rows, some


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _log_sums(
    number: int, sharding: NamedSharding | None, a: Array, b: Array, texts: Texts
) -> tuple[Array, Array]:
    return _forward(number, sharding, a, b, texts)[0]


def _forward(
    number: int, sharding: NamedSharding | None, a: Array, b: Array, texts: Texts
) -> tuple[tuple[Array, Array], tuple]:
    def block(carry: tuple[Array, Array], first: Array) -> tuple[tuple[Array, Array], Array]:
        largest, total = carry
        s, _, _ = _scores(number, sharding, a, b, texts, first)
        above = jnp.maximum(largest, jnp.max(s, axis=0))
        total = total * jnp.exp(largest - above) + jnp.sum(jnp.exp(s - above), axis=0)
        return (above, total), jax.nn.logsumexp(s, axis=1)

    start = jnp.full(len(b), HIDDEN), jnp.zeros(len(b))
    (largest, total), r = jax.lax.scan(block, start, jnp.arange(number))
    r = jnp.swapaxes(r, 0, 1).reshape(-1)
    c = largest + jnp.log(jnp.maximum(total, 1e-30))
    return (r, c), (a, b, texts, r, c)


def _backward(
    number: int, sharding: NamedSharding | None, kept: tuple, by: tuple[Array, Array]
) -> tuple[Array, Array, None]:
    a, b, texts, r, c = kept
    by_r, by_c = by
    exact = jax.lax.Precision.HIGHEST

    def block(by_b: Array, first: Array) -> tuple[Array, Array]:
        s, rows, some = _scores(number, sharding, a, b, texts, first)
        g = by_r[rows][:, None] * jnp.exp(s - r[rows][:, None]) + by_c * jnp.exp(s - c)
        g = jnp.where(s > HIDDEN / 2, g, 0.0)
        return by_b + jnp.einsum("nm,ne->me", g, some, precision=exact), jnp.einsum("nm,me->ne", g, b, precision=exact)

    by_b, by_a = jax.lax.scan(block, jnp.zeros_like(b), jnp.arange(number))
    return jnp.swapaxes(by_a, 0, 1).reshape(a.shape), by_b, None


_log_sums.defvjp(_forward, _backward)
