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
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.tokenizers.characters import SIZE

Params = Any
"""{"embedding": [characters, E], "filters": {number: K [w, E, F_w] and b}, "carry": V and a, "transform": W and b,
"projection": P and p}, each pair {"kernel", "bias"}; those of highway layers are stacked.
"""
NUMBER = SIZE - 1
"""Characters that have a vector; they are numbered from 1 (tokenizers/characters.py)."""


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

    @property
    def outputs(self) -> int:
        """Filters of all widths, F."""
        return sum(number for _, number in self.filters)


def init(key: PRNGKeyArray, config: Config, width: int) -> Params:
    """For words of length `width`, as ELMo's authors start: a = -2 and other biases 0, characters uniform in (-1, 1),
    filters of relu uniform in (-.05, .05), everything else normal with variance 1 / inputs.
    """
    keys = iter(jax.random.split(key, 4 + len(config.filters)))
    E, F, layers = config.width, config.outputs, config.highways

    def normal(inputs: int, *shape: int) -> Array:
        return jax.random.normal(next(keys), flat(shape)).reshape(shape) / inputs**0.5

    def uniform(limit: float, *shape: int) -> Array:
        return jax.random.uniform(next(keys), flat(shape), minval=-limit, maxval=limit).reshape(shape)

    relu, filters = config.activation == "relu", {}
    for n, (w, number) in enumerate(config.filters):
        kernel = uniform(0.05, w, E, number) if relu else normal(w * E, w, E, number)
        filters[str(n)] = {"kernel": kernel, "bias": jnp.zeros(number)}
    return {
        "embedding": uniform(1.0, NUMBER, E),
        "filters": filters,
        "carry": {"kernel": normal(F, layers, F, F), "bias": jnp.full((layers, F), -2.0)},
        "transform": {"kernel": normal(F, layers, F, F), "bias": jnp.zeros((layers, F))},
        "projection": {"kernel": normal(F, F, width), "bias": jnp.zeros(width)},
    }


def apply(params: Params, config: Config, characters: Int[Array, "B T C"], dtype: str) -> Float[Array, "B T D"]:
    """x of each word, from the numbers of its characters, by products in `dtype`; where there is no word, anything."""
    act = {"relu": jax.nn.relu, "tanh": jnp.tanh}[config.activation]

    def convolved(characters: Int[Array, "B C"]) -> Float[Array, "B F"]:
        c = params["embedding"][jnp.maximum(characters - 1, 0)].astype(dtype)
        y = [_largest(c, params["filters"][str(n)]) for n in range(len(config.filters))]
        return act(jnp.concatenate(y, axis=1)).astype(dtype)

    def highway(y: Float[Array, "B T F"], layer: tuple[Params, Params]) -> tuple[Float[Array, "B T F"], None]:
        g, new = jax.nn.sigmoid(_linear(y, layer[0])), jax.nn.relu(_linear(y, layer[1]))
        return (g * new + (1 - g) * y).astype(dtype), None

    # A word's convolutions are far more numbers than its vector: one position at a time, made anew on the way back.
    y = jnp.swapaxes(jax.lax.map(jax.checkpoint(convolved), jnp.swapaxes(characters, 0, 1)), 0, 1)
    y, _ = jax.lax.scan(highway, y, (params["carry"], params["transform"]))
    return _linear(y, params["projection"]).astype(dtype)


def flat(shape: tuple[int, ...]) -> tuple[int, int]:
    """As many numbers along two axes: JAX's draws along more take XLA many seconds to compile for a CPU."""
    return math.prod(shape[:-1]), shape[-1]


def product(equation: str, a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    """Taken in a's type, given in float32; of float32 in full precision, which accelerators do not give by themselves.

    bfloat16 is rounded to: XLA has no products of bfloat16 that give float32 on CPUs.
    """
    return jnp.einsum(equation, a, b.astype(a.dtype), precision="highest").astype(jnp.float32)


def _linear(x: Array, layer: Params) -> Float[Array, "..."]:
    return product("...d,de->...e", x, layer["kernel"]) + layer["bias"]


def _largest(c: Float[Array, "B C E"], filters: Params) -> Float[Array, "B F"]:
    """Of each filter, over the places it fits in."""
    axes, kernel = ("NWC", "WIO", "NWC"), filters["kernel"].astype(c.dtype)
    y = jax.lax.conv_general_dilated(c, kernel, (1,), "VALID", dimension_numbers=axes, precision="highest")
    return jnp.max(y, axis=1) + filters["bias"]
