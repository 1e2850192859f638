"""GloVe: word vectors from counts of words that stand together.

Pennington, Socher, Manning (2014), "GloVe: Global Vectors for Word Representation". With X_ij how often word j stood in
the context of word i (corpus/cooccurrence.py says how that is counted),

    w_i . c_j + a_i + b_j  is to be  log X_ij                            (eq. 7)
    J    = sum_ij f(X_ij) (w_i . c_j + a_i + b_j - log X_ij)^2           (eq. 8)
    f(x) = min(1, x / x_max)^alpha                                       (eq. 9)

over the pairs with X_ij > 0. A word's vector is w_i + c_i: where X is symmetric, both tables play the same part, and
their sum is a little better than either (section 4.2).

J is a sum over pairs, and a pair touches four rows. With e_ij the error, in brackets above,

    dJ / dw_i = 2 f e_ij c_j     dJ / dc_j = 2 f e_ij w_i     dJ / da_i = dJ / db_j = 2 f e_ij

It is trained by Adagrad over pairs in random order. The authors' program takes half of this J, starts its sums of
squares at 1 and has the rate eta (.05) in what it adds up: a step is eta g / sqrt(1 + sum (eta g)^2), g the gradient
of J / 2. In units of J's own gradient that is plain Adagrad with rate 1 and sums that start at 4 / eta^2:

    eta g / sqrt(1 + eta^2 sum g^2) = 2 g / sqrt(4 / eta^2 + sum (2 g)^2)     --optimizer.learning_rate=1
                                                                              --optimizer.accumulator=1600 for .05

Two details differ. Their sum holds the steps before the present one, ours this one too. And since gradients are clipped
there (2019) what moves a bias lacks the rate: its first steps are 20 times as long, of which the paper says nothing.

Shapes: V vocabulary, D width, P pairs in a chunk.
"""
import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from embeddings.inputs.cooccurrences import Chunk


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines the tables."""

    vocabulary: int
    """Number of words, V."""
    width: int = 100
    """Length of a vector, D."""


class Params(NamedTuple):
    """Both tables and their biases; functions over rows of the tables use the same names."""

    word: Float[Array, "V D"]
    context: Float[Array, "V D"]
    word_bias: Float[Array, "V 1"]
    context_bias: Float[Array, "V 1"]


def init(key: PRNGKeyArray, config: Config) -> Params:
    """All uniform in (-1/2, 1/2) / D, as the authors' program starts."""
    half, V, D = 0.5 / config.width, config.vocabulary, config.width
    keys, shapes = jax.random.split(key, 4), ((V, D), (V, D), (V, 1), (V, 1))
    return Params(*(jax.random.uniform(k, s, minval=-half, maxval=half) for k, s in zip(keys, shapes, strict=True)))


def vectors(params: Params) -> Float[Array, "V D"]:
    """What is kept after training: w + c."""
    return params.word + params.context


def weight(count: Float[Array, "P"], x_max: float, alpha: float) -> Float[Array, "P"]:
    """f of eq. 9: rare pairs count little, frequent ones not without bound; padding, with a count of 0, not at all."""
    there = count > 0
    power = alpha * jnp.log(jnp.where(there, jnp.minimum(1.0, count / x_max), 1.0))
    # The exponential comes last since XLA keeps its result. What costs less is made anew for each of the D columns of a
    # row, and a choice in there, such as one of f or 0, more than triples the time of a step.
    return jnp.exp(jnp.where(there, power, -jnp.inf))


def apply(params: Params, chunk: Chunk) -> Float[Array, "P"]:
    """The model's log X_ij of each pair."""
    w, c = params.word[chunk.word], params.context[chunk.context]
    return jnp.sum(w * c, axis=1) + params.word_bias[chunk.word, 0] + params.context_bias[chunk.context, 0]


def _same(x: Array) -> Array:
    return x


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeightedLeastSquares:
    """J by rows, as training/step.py asks for it; `total` adds up over devices that hold some columns each.

    The biases are tables of width 1, whole on each of those devices: in a row with the vector they would cost more,
    as rows then start at odd addresses.
    """

    x_max: float = dataclasses.field(default=100.0, metadata={"static": True})
    """Count from which on a pair has full weight."""
    alpha: float = dataclasses.field(default=0.75, metadata={"static": True})
    """Exponent of the weight below x_max."""

    def rows(self, chunk: Chunk) -> Params:
        """For each table the numbers of the rows that a chunk reads, P of each."""
        return Params(chunk.word, chunk.context, chunk.word, chunk.context)

    def _weight_and_error(
        self, rows: Params, chunk: Chunk, total: Callable[[Array], Array]
    ) -> tuple[Float[Array, "P"], Float[Array, "P"]]:
        """f and e of each pair."""
        score = total(jnp.sum(rows.word * rows.context, axis=1)) + rows.word_bias[:, 0] + rows.context_bias[:, 0]
        error = score - jnp.log(jnp.where(chunk.count > 0, chunk.count, 1.0))
        return weight(chunk.count, self.x_max, self.alpha), error

    def loss(
        self, rows: Params, chunk: Chunk, total: Callable[[Array], Array] = _same
    ) -> dict[str, tuple[Float[Array, ""], Float[Array, ""]]]:
        """J over the pairs of the chunk, from rows `[P, D]` and `[P, 1]`; the weight is their number."""
        f, e = self._weight_and_error(rows, chunk, total)
        return {"loss": (jnp.sum(f * e**2), jnp.sum(chunk.count > 0, dtype=e.dtype))}

    def gradient(
        self, rows: Params, chunk: Chunk, total: Callable[[Array], Array] = _same, factor: float | Array = 1.0
    ) -> Params:
        """dJ by each row, times `factor`."""
        f, e = self._weight_and_error(rows, chunk, total)
        g = (2 * factor * f * e)[:, None]
        return Params(g * rows.context, g * rows.word, g, g)
