"""How the states of a text's tokens become one vector.

With h_t the states of the tokens t = 1 .. n that count:

    cls                    h_1                                  Devlin et al. 2019
    max                    max_t h_t, by elements
    mean                   sum_t h_t / n                        Reimers and Gurevych 2019
    mean_sqrt_len_tokens   sum_t h_t / sqrt(n)                  Cer et al. 2018
    weightedmean           sum_t p_t h_t / sum_t p_t            Muennighoff 2022; p_t is t's place in the text, from 1
    lasttoken              h_n

Names are sentence-transformers'. Rows may hold several texts: each gets its own vector.

Shapes: B rows, T positions, S texts of a row, D width.
"""
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

Pooling = Literal["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]
POOLINGS: tuple[str, ...] = get_args(Pooling)
NORMALIZE = "normalize"
"""The step after pooling that scales a vector to length 1."""
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "sigmoid": jax.nn.sigmoid,
}
"""Of linear maps after pooling."""


def pooled(
    how: Pooling,
    states: Float[Array, "B T D"],
    counted: Int[Array, "B T"],
    positions: Int[Array, "B T"],
    texts: int,
) -> Float[Array, "B {texts} D"]:
    """The vector of each text of each row, zeros where there is none.

    `counted` is the number of the text that a token counts for, from 1, or 0; `positions` its place in it, from 0.
    """
    states = states.astype(jnp.float32)
    mine = counted[:, None, :] == jnp.arange(1, texts + 1)[None, :, None]
    if how == "max":
        return _largest(states, mine)
    place = jnp.where(mine, (positions + 1)[:, None, :], 0)
    n = jnp.maximum(jnp.sum(mine, axis=2, keepdims=True), 1)
    if how == "cls":
        first = jnp.min(jnp.where(mine, place, jnp.iinfo(place.dtype).max), axis=2, keepdims=True)
        weight = mine & (place == first)
    elif how == "lasttoken":
        weight = mine & (place == jnp.max(place, axis=2, keepdims=True))
    elif how == "weightedmean":
        weight = place / jnp.maximum(jnp.sum(place, axis=2, keepdims=True), 1)
    else:
        weight = mine / (n if how == "mean" else jnp.sqrt(n))
    return jnp.einsum("bst,btd->bsd", weight.astype(jnp.float32), states, precision=jax.lax.Precision.HIGHEST)


def _largest(states: Float[Array, "B T D"], mine: Bool[Array, "B S T"]) -> Float[Array, "B S D"]:
    """One text of all rows after the other, or there would be S copies of the states."""
    def one(mine: Bool[Array, "B T"]) -> Float[Array, "B D"]:
        return jnp.max(jnp.where(mine[:, :, None], states, -jnp.inf), axis=1)

    found = jnp.moveaxis(jax.lax.map(one, jnp.moveaxis(mine, 1, 0)), 0, 1)
    return jnp.where(jnp.any(mine, axis=2)[:, :, None], found, 0.0)


def unit(vectors: Float[Array, "... D"]) -> Float[Array, "... D"]:
    """Scaled to length 1; zeros stay zeros, and their gradient is finite."""
    return vectors * jax.lax.rsqrt(jnp.maximum(jnp.sum(vectors**2, axis=-1, keepdims=True), 1e-24))


def after_pooling(
    vectors: Float[Array, "B S D"], steps: tuple[tuple[str, int], ...], params: Sequence
) -> Float[Array, "B S E"]:
    """Linear maps and scaling to length 1, in the order of `steps`."""
    for step, number in steps:
        if step == NORMALIZE:
            vectors = unit(vectors)
            continue
        kernel, bias = params[number]
        vectors = jnp.einsum("bsd,de->bse", vectors, kernel, precision=jax.lax.Precision.HIGHEST)
        vectors = ACTIVATIONS[step](vectors if bias is None else vectors + bias)
    return vectors
