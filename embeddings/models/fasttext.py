"""fastText: skip-gram and CBOW over words that are made of their character n-grams.

Bojanowski, Grave, Joulin, Mikolov (2017), "Enriching Word Vectors with Subword Information". A word w has a set of rows
G_w of the input table: its own, and one for each of its n-grams' buckets (tokenizers/subwords.py). As in the authors'
program, which takes the mean where the paper's section 3.2 has the sum:

    v_w  = mean of z_g over g in G_w
    skip-gram    s_wj = v_w . u_j                                    one score a pair
    CBOW         s_i  = h_i . u_i,  h_i = mean of z_g over all rows g of all words around i

An n-gram that stands twice in a word counts twice. A word that is not in the vocabulary is the mean of its n-grams.

With position weights (Mikolov, Grave, Bojanowski, Puhrsch, Joulin 2018, "Advances in Pre-Training Distributed Word
Representations", section 2.2) each place p of a CBOW window has a trained vector d_p, at first all ones:

    h_i = sum_p d_p * sum_(g of word i + p) z_g / (number of rows)   * by elements

The input table holds the rows of the V words, then those of the U buckets that the words' n-grams use. Of the authors'
2,000,000 buckets that is a small part (327 thousand for a vocabulary of 66 thousand words); the others are never read
in training, so that they would end as they began, as noise.

Shapes: V words, U buckets in use, D width, P predictions, C rows given, S = 2 window + 1 places, G rows of all words.
"""
import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from embeddings.models.word2vec import Params

PORTION = 65536
"""Rows gathered at a time where all words are made at once."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines the tables."""

    vocabulary: int
    """Number of words, V."""
    ngrams: int
    """Number of buckets in use, U."""
    width: int = 100
    """Length of a vector, D."""
    positions: int = 0
    """Places of a window that have a weight, 2 window; 0 for none."""


class Weighted(NamedTuple):
    """The input half of the parameters where places have weights."""

    rows: Float[Array, "rows D"]
    positions: Float[Array, "places D"]
    """d_p for p = -window .. -1, 1 .. window."""


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Input rows uniform in (-1, 1) / D, output rows zero, as the authors' program starts; position weights one."""
    limit = 1 / config.width
    shape = (config.vocabulary + config.ngrams, config.width)
    rows = jax.random.uniform(key, shape, minval=-limit, maxval=limit)
    if config.positions:
        rows = Weighted(rows, jnp.ones((config.positions, config.width)))
    return Params(rows, jnp.zeros((config.vocabulary, config.width)))


def apply(
    params: Params,
    given: Int[Array, "P C"],
    predicted: Int[Array, "P"],
    mask: Bool[Array, "P C"],
    places: Int[Array, "P C"] | None = None,
) -> Float[Array, "P"]:
    """The score of each predicted word by the mean of the rows given: all of one word (skip-gram) or of a context.

    `places` says whose place in the window a row's word has, as a row of `positions`, where places have weights.
    """
    z = table(params)[given]
    if places is not None:
        z = z * params.input.positions[places]
    weight = mask / jnp.maximum(jnp.sum(mask, axis=1, keepdims=True), 1)
    return jnp.einsum("pc,pcd,pd->p", weight, z, params.output[predicted])


def table(params: Params) -> Float[Array, "rows D"]:
    """The rows of words and n-grams."""
    return params.input.rows if isinstance(params.input, Weighted) else params.input


@functools.partial(jax.jit, static_argnums=3)
def vectors(
    rows: Float[Array, "rows D"], starts: Int[Array, "words_and_end"], members: Int[Array, "G"], words: int
) -> Float[Array, "V D"]:
    """v_w of each word: the mean of rows `members[starts[w]:starts[w + 1]]`. Little more than the result is kept."""
    G = members.shape[0]
    owner = jnp.repeat(jnp.arange(words), jnp.diff(starts), total_repeat_length=G)
    portions = -(-G // PORTION)
    padding = (0, portions * PORTION - G)
    members = jnp.pad(members, padding).reshape(portions, PORTION)
    owner = jnp.pad(owner, padding, constant_values=words).reshape(portions, PORTION)

    def more(n: Array, sums: Array) -> Array:
        return sums.at[owner[n]].add(rows[members[n]], mode="drop")

    sums = jax.lax.fori_loop(0, portions, more, jnp.zeros((words, rows.shape[1]), rows.dtype))
    return sums / jnp.maximum(jnp.diff(starts), 1)[:, None]
