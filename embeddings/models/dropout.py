"""Dropout whose draws belong to a row of the batch (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014).

Each row has a key of its own, and each place where something is dropped a number. So a row drops the same, whatever
stands beside it: alone, in a chunk of the batch, or on another device.

Shapes: B rows.
"""
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

_BITS = 16
"""Random bits a number: rates are multiples of 2^-16, at half the cost of 32."""

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
    # Drawn flat: over several axes XLA takes many times as long to compile (JAX 0.10, on a CPU).
    return (jax.random.bits(key, (math.prod(shape),), jnp.uint16) >= round(rate * 2**_BITS)).reshape(shape)


def scaled(x: Float[Array, "..."], keep: Bool[Array, "..."], rate: float) -> Float[Array, "..."]:
    """x where it is kept, scaled up by what is lost, else 0."""
    return jnp.where(keep, x / (1 - round(rate * 2**_BITS) / 2**_BITS), 0).astype(x.dtype)


def dropped(x: Float[Array, "B ..."], rate: float, keys: Keys | None) -> Float[Array, "B ..."]:
    """x with a share of its numbers set to 0 and the others scaled up; as it is where there are no keys."""
    if keys is None or not rate:
        return x
    return scaled(x, jax.vmap(lambda key: kept(key, rate, x.shape[1:]))(keys), rate)
