"""Dropout whose draws belong to a row of the batch (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014).

Each row has a key of its own, and each place where something is dropped a number. So a row drops the same, whatever
stands beside it: alone, in a chunk of the batch, or on another device.

Keys are drawn by jax.random. What of a place is dropped is a hash of the key and the number's position, not JAX's own
bits (threefry), which are drawn so that nobody can guess them and take longer (experiments/LOG.md).

Shapes: B rows.
"""
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray, UInt32

_BITS = 32
"""Random bits a number: rates are multiples of 2^-32."""

Keys = Key[Array, "_"]
"""A key for each row, `[B]`."""


def row_keys(key: PRNGKeyArray | Keys, rows: int) -> Keys:
    """The keys of rows 0 .. rows - 1; a key for each row already is as it was."""
    return key if key.ndim else jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(rows))


def fold(keys: Keys | None, number: int | Array) -> Keys | None:
    """Other keys, by the number of a layer or of a place in it."""
    return None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, number))(keys)


def kept(key: PRNGKeyArray, rate: float, shape: tuple[int, ...]) -> Bool[Array, "..."]:
    """What of one row is not dropped."""
    return (hashed(key, math.prod(shape)) >= jnp.uint32(round(rate * 2**_BITS))).reshape(shape)


def hashed(key: PRNGKeyArray, number: int) -> UInt32[Array, "{number}"]:
    """Bits that look random: a multiply-xorshift hash (Mueller's form, constants of Wellons' hash-prospector, 2018) of
    steps of the golden ratio, keyed before and amid it."""
    first, second = jax.random.key_data(key)[:2]
    x = jax.lax.iota(jnp.uint32, number) * jnp.uint32(0x9E3779B9) + first
    x = (x ^ (x >> 16)) * jnp.uint32(0x21F0AAAD)
    x = ((x ^ (x >> 15)) + second) * jnp.uint32(0xD35A2D97)
    return x ^ (x >> 15)


def scaled(x: Float[Array, "..."], keep: Bool[Array, "..."], rate: float) -> Float[Array, "..."]:
    """x where it is kept, scaled up by what is lost, else 0."""
    return jnp.where(keep, x / (1 - round(rate * 2**_BITS) / 2**_BITS), 0).astype(x.dtype)


def dropped(x: Float[Array, "B ..."], rate: float, keys: Keys | None) -> Float[Array, "B ..."]:
    """x with a share of its numbers set to 0 and the others scaled up; as it is where there are no keys."""
    if keys is None or not rate:
        return x
    return scaled(x, jax.vmap(lambda key: kept(key, rate, x.shape[1:]))(keys), rate)
