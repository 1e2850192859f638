"""Losses of models of sequences.

Bidirectional language model (Peters et al. 2018, section 3.1): h_k is what the forward direction has read up to word k,
g_k the backward one down to word k; both predict by the same softmax:

    J = - sum_k log p(t_(k+1) | h_k) - sum_k log p(t_(k-1) | g_k)
    p(w | h) = exp(s_w) / sum_v exp(s_v),   s_w = h . u_w + b_w

Over a large vocabulary the sum takes in t and the different words of N draws with the probabilities q, t itself left
out, and s_w - log Q_w stands for s_w, with Q_w that of being drawn at all (Jean, Cho, Memisevic, Bengio 2015, section
3; TensorFlow's sampled_softmax_loss, which the authors used, draws until N words are different). q is log-uniform, near
to the frequencies of words that are numbered from the most frequent one:

    q_w = log((w + 2) / (w + 1)) / log(V + 1),   Q_w = 1 - (1 - q_w)^N

Shapes: B batch, T position, D width of one direction, V vocabulary, N draws.
"""
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from embeddings.models import elmo
from embeddings.models.character_cnn import product

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""By name: a sum, and what it is the sum over."""


@dataclasses.dataclass(frozen=True)
class BidirectionalLm:
    """What defines the objective."""

    model: elmo.Config
    vocabulary: int
    """Words that are predicted, beginning and end of a sentence among them, V."""
    samples: int = 0
    """Draws in training for each direction of a batch, N; 0 for the softmax over all words."""


class Sentences(NamedTuple):
    """What a bidirectional language model learns from."""

    text: elmo.Batch
    ids: Int[Array, "B T"]
    """Number of each word in the vocabulary, most frequent first; any where there is no word."""


def init_softmax(key: PRNGKeyArray, config: BidirectionalLm) -> dict[str, Array]:
    """u normal with variance 1 / D, b zero, as the authors' program starts."""
    u = jax.random.normal(key, (config.vocabulary, config.model.width)) / config.model.width**0.5
    return {"kernel": u, "bias": jnp.zeros(config.vocabulary)}


def bidirectional_lm(
    params: dict[str, Any], config: BidirectionalLm, batch: Sentences, *, key: PRNGKeyArray | None = None
) -> Sums:
    """J of both directions together (loss) and of each, each with the number of words predicted.

    Args:
        params: {"model": as elmo.init, "objective": as init_softmax}.
        config: of the objective and its model.
        batch: sentences; the words next to their ends in a row are not predicted across.
        key: of dropout and of the words drawn; None drops nothing and takes the softmax over all words.
    """
    dropout, *draws = (None,) * 3 if key is None else jax.random.split(key, 3)
    both = elmo.apply(params["model"], config.model, batch.text, key=dropout).hidden
    segments, D = batch.text.segments, config.model.width
    sums = {}
    for name, h, step, draw in (("forward", both[..., :D], 1, draws[0]), ("backward", both[..., D:], -1, draws[1])):
        ids, other = _shifted(batch.ids, step), _shifted(segments, step)
        there = (segments > 0) & (other == segments)
        drawn = None if draw is None or not config.samples else log_uniform(draw, config.samples, config.vocabulary)
        sums[name] = cross_entropy(params["objective"], h, ids, there, drawn), jnp.sum(there).astype(jnp.float32)
    total = jax.tree.map(jnp.add, sums["forward"], sums["backward"])
    return {"loss": total, **sums}


def cross_entropy(
    softmax: dict[str, Array],
    h: Float[Array, "B T D"],
    ids: Int[Array, "B T"],
    there: Bool[Array, "B T"],
    drawn: Int[Array, "N"] | None = None,
) -> Float[Array, ""]:
    """- sum log p(ids | h) where they are there; over all words, or those that `log_uniform` has drawn.

    Scores of all words are kept for one position of all rows at a time, and made again on the way back.
    """
    u, b = softmax["kernel"], softmax["bias"]

    @jax.checkpoint
    def at(h: Float[Array, "B D"], ids: Int[Array, "B"]) -> Float[Array, "B"]:
        true = product("bd,bd->b", h, u[ids]) + b[ids]
        if drawn is None:
            return jax.nn.logsumexp(product("bd,vd->bv", h, u) + b, axis=1) - true
        true = true - log_drawn(ids, len(b), len(drawn))
        others = product("bd,nd->bn", h, u[drawn]) + b[drawn] - log_drawn(drawn, len(b), len(drawn))
        fresh = jnp.concatenate([jnp.ones(1, bool), drawn[1:] != drawn[:-1]])
        others = jnp.where(fresh & (drawn != ids[:, None]), others, -jnp.inf)
        return jax.nn.logsumexp(jnp.concatenate([true[:, None], others], axis=1), axis=1) - true

    def add(total: Float[Array, "B"], now: tuple) -> tuple[Float[Array, "B"], None]:
        h, ids, there = now
        return total + jnp.where(there, at(h, ids), 0), None

    by_position = jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1), (h, ids, there))
    return jnp.sum(jax.lax.scan(add, jnp.zeros(len(h)), by_position)[0])


def log_uniform(key: PRNGKeyArray, draws: int, vocabulary: int) -> Int[Array, "N"]:
    """Words drawn with the probabilities q, sorted: the logarithm of w + 1 and a fraction is uniform."""
    drawn = jnp.exp(jax.random.uniform(key, (draws,)) * jnp.log(vocabulary + 1.0)).astype(jnp.int32) - 1
    return jnp.sort(jnp.clip(drawn, 0, vocabulary - 1))


def log_drawn(ids: Int[Array, "..."], vocabulary: int, draws: int) -> Float[Array, "..."]:
    """log Q: of being among `draws` words of `log_uniform`."""
    q = jnp.log1p(1 / (ids + 1)) / jnp.log(vocabulary + 1.0)
    return jnp.log(-jnp.expm1(draws * jnp.log1p(-q)))


def _shifted(a: Int[Array, "B T"], step: int) -> Int[Array, "B T"]:
    """What stands a step further in the row; 0 beyond its end."""
    return jnp.pad(a[:, 1:], ((0, 0), (0, 1))) if step > 0 else jnp.pad(a[:, :-1], ((0, 0), (1, 0)))
