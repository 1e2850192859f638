"""A word's vector from its characters: convolutions, the largest value of each filter, highways, a projection.

Kim, Jernite, Sontag, Rush (2016), "Character-Aware Neural Language Models", with the projection of Jozefowicz, Vinyals,
Schuster, Shazeer, Wu (2016), "Exploring the Limits of Language Modeling", section 3.1. With c_p the vector of character
p, K_f filter f, w characters wide, and * by elements:

    y_f = act(max_p sum_(o < w) K_fo . c_(p + o) + b_f)
    y <- g * relu(y W + b) + (1 - g) * y,   g = sigmoid(y V + a)         each highway layer
    x = y P + p

Shapes: B batch, T position, C characters of a word, E width of a character, F filters of all widths, D width.
"""
import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

NUMBER = 261
"""256 bytes; beginning and end of a sentence, and of a word; what fills up a word. They are numbered from 1."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines the parameters; the defaults are those of ELMo's published original."""

    width: int = 16
    """Length of a character's vector, E."""
    filters: tuple[tuple[int, int], ...] = ((1, 32), (2, 32), (3, 64), (4, 128), (5, 256), (6, 512), (7, 1024))
    """Width and number of the filters of each convolution."""
    activation: Literal["relu", "tanh"] = "relu"
    """After the convolutions."""
    highways: int = 2
    """Highway layers."""
    longest: int = 50
    """Characters that a word is filled up with or cut off to, C, its beginning and end included."""


class Dense(NamedTuple):
    """x kernel + bias."""

    kernel: Float[Array, "... inputs outputs"]
    bias: Float[Array, "... outputs"]


class Params(NamedTuple):
    """Vectors of characters, and what makes words of them."""

    embedding: Float[Array, "characters E"]
    filters: tuple[Dense, ...]
    """K `[w, E, F_w]` and b of each convolution."""
    carry: Dense
    """V and a of all highway layers, stacked."""
    transform: Dense
    """W and b of all highway layers, stacked."""
    projection: Dense
    """P and p."""


def init(key: PRNGKeyArray, config: Config, width: int) -> Params:
    """For words of length `width`, as ELMo's authors start: a = -2 and other biases 0, characters uniform in (-1, 1),
    filters of relu uniform in (-.05, .05), everything else normal with variance 1 / inputs.
    """
    keys = iter(jax.random.split(key, 4 + len(config.filters)))
    E, F, high = config.width, sum(number for _, number in config.filters), config.highways

    def normal(inputs: int, *shape: int) -> Array:
        return jax.random.normal(next(keys), shape) / inputs**0.5

    def kernel(w: int, number: int) -> Array:
        if config.activation == "tanh":
            return normal(w * E, w, E, number)
        return jax.random.uniform(next(keys), (w, E, number), minval=-0.05, maxval=0.05)

    return Params(
        jax.random.uniform(next(keys), (NUMBER, E), minval=-1.0, maxval=1.0),
        tuple(Dense(kernel(w, number), jnp.zeros(number)) for w, number in config.filters),
        Dense(normal(F, high, F, F), jnp.full((high, F), -2.0)),
        Dense(normal(F, high, F, F), jnp.zeros((high, F))),
        Dense(normal(F, F, width), jnp.zeros(width)),
    )


def apply(params: Params, config: Config, characters: Int[Array, "B T C"], dtype: str) -> Float[Array, "B T D"]:
    """x of each word, from the numbers of its characters, by products in `dtype`; where there is no word, anything."""
    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[config.activation]

    def convolved(characters: Int[Array, "B C"]) -> Float[Array, "B F"]:
        c = params.embedding[jnp.maximum(characters - 1, 0)].astype(dtype)
        y = [jnp.max(_convolution(c, filters.kernel), axis=1) + filters.bias for filters in params.filters]
        return act(jnp.concatenate(y, axis=1)).astype(dtype)

    def highway(y: Float[Array, "B T F"], layer: tuple[Dense, Dense]) -> tuple[Float[Array, "B T F"], None]:
        g, new = jax.nn.sigmoid(dense(y, layer[0])), jax.nn.relu(dense(y, layer[1]))
        return (g * new + (1 - g) * y).astype(dtype), None

    # A word's convolutions are far more numbers than its vector: one position at a time, made anew on the way back.
    y = jnp.swapaxes(jax.lax.map(jax.checkpoint(convolved), jnp.swapaxes(characters, 0, 1)), 0, 1)
    y, _ = jax.lax.scan(highway, y, (params.carry, params.transform))
    return dense(y, params.projection).astype(dtype)


def product(equation: str, a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """Of a's type, summed in float32; of float32 in full precision, which accelerators do not give by themselves."""
    return jnp.einsum(equation, a, b.astype(a.dtype), precision="highest", preferred_element_type=jnp.float32)


def dense(x: Float[Array, "..."], layer: Dense) -> Float[Array, "..."]:
    """x kernel + bias along the last axis, in float32."""
    return product("...d,de->...e", x, layer.kernel) + layer.bias


def _convolution(c: Float[Array, "B C E"], kernel: Float[Array, "w E F"]) -> Float[Array, "B places F"]:
    axes = ("NWC", "WIO", "NWC")
    return jax.lax.conv_general_dilated(c, kernel.astype(c.dtype), (1,), "VALID", dimension_numbers=axes,
                                        precision="highest", preferred_element_type=jnp.float32)
