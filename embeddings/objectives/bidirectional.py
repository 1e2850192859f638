"""A bidirectional language model's loss: each word predicted from what is before it, and from what comes after.

Peters et al. (2018), section 3.1. h_k is what the forward direction has read up to word k, g_k the backward one down to
word k; both predict by the same softmax:

    J = - sum_k log p(t_(k+1) | h_k) - sum_k log p(t_(k-1) | g_k)
    p(w | h) = exp(s_w) / sum_v exp(s_v),   s_w = h . u_w + b_w

Over a large vocabulary the sum takes in t and the different words of N draws with the probabilities q, t itself left
out, and s_w - log Q_w stands for s_w, with Q_w that of being drawn at all (Jean, Cho, Memisevic, Bengio 2015, section
3; TensorFlow's sampled_softmax_loss, which the authors used, draws until N words are different). q is log-uniform, near
to the frequencies of words that are numbered from the most frequent one:

    q_w = log((w + 2) / (w + 1)) / log(V + 1),   Q_w = 1 - (1 - q_w)^N

Shapes: B rows, T positions, D width of one direction, V vocabulary, N draws.
"""
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.models import elmo
from embeddings.models.character_cnn import product
from embeddings.models.dropout import Keys
from embeddings.objectives.sequences import Sums, cross_entropy


class Batch(NamedTuple):
    """Sentences, with the numbers of their words."""

    text: elmo.Batch
    ids: Int[Array | np.ndarray, "B T"]
    """Number of each word in the vocabulary, most frequent first; any where there is no word."""
    words: Int[Array | np.ndarray, ""]
    """Words in it, padding left out: what progress is counted in."""
    number: Int[Array | np.ndarray, ""]
    """Of the batch: what words are drawn for it depends on this and the seed."""


@dataclasses.dataclass(frozen=True)
class BidirectionalLanguageModel:
    """Prediction of words from both sides, each side by itself."""

    config: elmo.Config
    vocabulary: int
    """Words that are predicted, beginning and end of a sentence among them, V."""
    draws: int = 0
    """For each direction of a batch, N; 0 for the softmax over all words."""
    seed: int = 0
    """Of the draws."""

    def init(self, key: PRNGKeyArray) -> Any:
        """{"kernel": u [V, D], normal with variance 1 / D as the authors' program starts, "bias": b [V], 0}."""
        D = self.config.width
        return {"kernel": jax.random.normal(key, (self.vocabulary, D)) / D**0.5, "bias": jnp.zeros(self.vocabulary)}

    def loss(self, params: Any, batch: Batch, keys: Keys | None = None) -> Sums:
        """J, and its part for each direction, by words predicted; `keys` of each row are those of dropout.

        Words are predicted from the sentence that they belong to, not across its ends.
        """
        both, D = elmo.apply(params["model"], self.config, batch.text, key=keys).hidden, self.config.width
        key, segments = jax.random.fold_in(jax.random.key(self.seed), batch.number), batch.text.segments
        sums = {}
        for name, h, step in (("forward", both[..., :D], 1), ("backward", both[..., D:], -1)):
            weights = ((segments > 0) & (_shifted(segments, step) == segments)).astype(jnp.float32)
            draw = jax.random.fold_in(key, step + 1)
            loss = self._direction(params["objective"], h, _shifted(batch.ids, step), weights, draw)
            sums[name] = loss, jnp.sum(weights)
        return {"loss": jax.tree.map(jnp.add, sums["forward"], sums["backward"]), **sums}

    def _direction(
        self,
        softmax: Any,
        h: Float[Array, "B T D"],
        ids: Int[Array, "B T"],
        weights: Float[Array, "B T"],
        key: PRNGKeyArray,
    ) -> Float[Array, ""]:
        if self.draws:
            drawn = log_uniform(key, self.draws, self.vocabulary)
            return jnp.sum(weights * sampled(softmax, h, ids, drawn))

        def logits(h: Float[Array, "places D"]) -> Float[Array, "places V"]:
            return product("pd,vd->pv", h, softmax["kernel"]) + softmax["bias"]

        return cross_entropy(h, ids, weights, logits)[0]


@jax.checkpoint
def sampled(
    softmax: Any, h: Float[Array, "B T D"], ids: Int[Array, "B T"], drawn: Int[Array, "N"]
) -> Float[Array, "B T"]:
    """- log p(ids | h) among the words drawn, which are sorted; scores are made again on the way back."""
    u, b = softmax["kernel"], softmax["bias"]
    V, N = len(b), len(drawn)
    true = product("btd,btd->bt", h, u[ids]) + b[ids] - log_drawn(ids, V, N)
    others = product("btd,nd->btn", h, u[drawn]) + b[drawn] - log_drawn(drawn, V, N)
    fresh = jnp.concatenate([jnp.ones(1, bool), drawn[1:] != drawn[:-1]])
    others = jnp.where(fresh & (drawn != ids[..., None]), others, -jnp.inf)
    return jax.nn.logsumexp(jnp.concatenate([true[..., None], others], axis=-1), axis=-1) - true


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
