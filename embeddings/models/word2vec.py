"""word2vec: skip-gram and continuous bag of words (CBOW).

Mikolov, Chen, Corrado, Dean (2013), "Efficient Estimation of Word Representations in Vector Space", and Mikolov,
Sutskever, Chen, Corrado, Dean (2013), "Distributed Representations of Words and Phrases and their Compositionality".
With v the rows of the input table and u those of the output table, a centre word i and the words j around it:

    skip-gram    s_ij = v_i . u_j                             one score a pair
    CBOW         s_i  = h_i . u_i,  h_i = mean_j v_j          one score a centre

The score of any other word n in the place of the predicted one has u_n for its u. What u is a row of depends on the
loss (objectives/): a word, a word with a bias, a node of a tree, a class. The authors' program reads
v_j . u_i for skip-gram: over a text that is the same set of pairs.

Shapes: V vocabulary, D width, P predictions, C words given.
"""
import dataclasses
from typing import Any, NamedTuple

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
    outputs: int | None = None
    """Rows of the output table, where they are not the words'."""


class Biased(NamedTuple):
    """An output table of words that have a bias, as noise contrastive estimation wants it."""

    rows: Float[Array, "V D"]
    bias: Float[Array, "V 1"]


class Params(NamedTuple):
    """Both tables; functions over rows of the tables use the same pair of names."""

    input: Float[Array, "V D"]
    output: Float[Array, "outputs D"] | Biased | Any
    """A table, or what a softmax has in its place (objectives/softmax.py)."""


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Input rows uniform in (-1/2, 1/2) / D, output rows zero, as the authors' program starts."""
    half = 0.5 / config.width
    outputs = config.vocabulary if config.outputs is None else config.outputs
    table = jax.random.uniform(key, (config.vocabulary, config.width), minval=-half, maxval=half)
    return Params(table, jnp.zeros((outputs, config.width)))


def apply(
    params: Params, given: Int[Array, "P C"], predicted: Int[Array, "P"], mask: Bool[Array, "P C"]
) -> Float[Array, "P"]:
    """The score of each predicted word by the mean of those given: one centre (skip-gram) or a context (CBOW)."""
    weight = mask / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    mean = jnp.einsum("pc,pcd->pd", weight, params.input[given])
    return jnp.einsum("pd,pd->p", mean, params.output[predicted])


def vectors(params: Params) -> Float[Array, "V D"]:
    """What is kept after training: the input table."""
    return params.input
