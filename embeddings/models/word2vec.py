"""word2vec: skip-gram and continuous bag of words (CBOW).

Mikolov, Chen, Corrado, Dean (2013), "Efficient Estimation of Word Representations in Vector Space", and Mikolov,
Sutskever, Chen, Corrado, Dean (2013), "Distributed Representations of Words and Phrases and their Compositionality".
With v the rows of the input table and u those of the output table, a centre word i and the words j around it:

    skip-gram    s_ij = v_j . u_i                             one score a pair
    CBOW         s_i  = h_i . u_i,  h_i = mean_j v_j          one score a centre

The score of any other word n in the centre's place has u_n for u_i. Skip-gram reads the input row at the context word
and the output row at the centre, as the authors' program does; over a text that is the same set of pairs as the paper's.

Shapes: V vocabulary, D width, P pairs, C context words.
"""
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines the two tables."""

    vocabulary: int
    """Number of words, V."""
    width: int = 100
    """Length of a vector, D."""


class Params(NamedTuple):
    """Both tables; functions over rows of the tables use the same pair of names."""

    input: Float[Array, "V D"]
    output: Float[Array, "V D"]


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Input rows uniform in (-1/2, 1/2) / D, output rows zero, as the authors' program starts."""
    half = 0.5 / config.width
    shape = (config.vocabulary, config.width)
    return Params(jax.random.uniform(key, shape, minval=-half, maxval=half), jnp.zeros(shape))


def apply(
    params: Params, context: Int[Array, "P C"], centre: Int[Array, "P"], mask: Bool[Array, "P C"]
) -> Float[Array, "P"]:
    """The score of each centre word given the mean of its context words; skip-gram is the case C = 1."""
    weight = mask / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    mean = jnp.einsum("pc,pcd->pd", weight, params.input[context])
    return jnp.einsum("pd,pd->p", mean, params.output[centre])


def vectors(params: Params) -> Float[Array, "V D"]:
    """What is kept after training: the input table."""
    return params.input
