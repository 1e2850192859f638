"""A softmax over all words: full, or adaptive. Dense objectives: every step touches every parameter.

**Full softmax** (Mikolov, Sutskever et al. 2013, eq. 2): of a word w that is predicted from h,

    J = - log p(w | h),   p(w | h) = exp(h . u_w) / sum_x exp(h . u_x)

**Adaptive softmax** (Grave, Joulin, Cisse, Grangier, Jegou 2017, section 4): the most frequent words stand in the head,
with one class more for each cluster t of rarer words; in a cluster, h is made narrower by a matrix P_t first,

    p(w | h) = p_head(w | h)                                   w in the head
    p(w | h) = p_head(t | h) p_t(w | h P_t)                    w in cluster t

so that rare words cost little; and a cluster's words are scored for those h only that predict one of them.

Skip-gram predicts each word around a centre from h_i = v_i, CBOW the centre from the mean h_i of those words, as in
objectives/words.py, with the same two ways of handing the gradient of a mean back.

A loss of (params, batch), differentiated by jax; the scores of a chunk are made again on the way back instead of being
kept. Tables of classes are split by rows over a mesh: partial sums of exponentials travel, and h, but no scores.

Shapes: K blocks, B centres, S = 2 window + 1 offsets (CBOW: 1), W words of a block that may be predicted, D width,
C classes, padding among them, d width in a cluster.
"""
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from embeddings.inputs.words import Batch, Chunk, Windows
from embeddings.models.word2vec import Params
from embeddings.objectives.windows import Sums, by_offset, centres, pairs, product
from embeddings.objectives.words import Reader

MULTIPLE = 128
"""Tables of classes are padded to a multiple of this, on any mesh: the devices that split them must divide it."""
GROUP = 8
"""Centres of a block whose scores in a cluster are made together, or not at all."""
NARROWER = 4
"""The first cluster's width is that of h divided by this, each next one's that of the one before."""


class Classes(NamedTuple):
    """Output parameters of a softmax."""

    classes: Float[Array, "C D"]
    """Row w is what word w is predicted by; those of padding stay as they are."""


class Tail(NamedTuple):
    """Output parameters of a cluster."""

    narrow: Float[Array, "D d"]
    classes: Float[Array, "C d"]


class Clusters(NamedTuple):
    """Output parameters of an adaptive softmax."""

    classes: Float[Array, "C D"]
    """The head: its words, then a class for each cluster."""
    tails: tuple[Tail, ...]


def padded(size: int) -> int:
    """Rows of a table of so many classes."""
    return -(-size // MULTIPLE) * MULTIPLE


def log_sum(h: Float[Array, "K G d"], classes: Float[Array, "C d"], size: int) -> Float[Array, "K G"]:
    """log sum_x exp(h . u_x) over the first `size` classes."""
    scores = product("kgd,cd->kgc", h, classes)
    return jax.nn.logsumexp(jnp.where(np.arange(len(classes)) < size, scores, -jnp.inf), axis=2)


class Predicted(NamedTuple):
    """What the centres of a chunk predict: words around them, or themselves."""

    ids: Int[Array, "K W"]
    """Words of a block that may be."""
    there: Bool[Array, "K B S"]
    """For each centre, which of its S are."""

    @classmethod
    def of(cls, chunk: Windows, by_mean: bool) -> "Predicted":
        """Each word around a centre, or, by the mean of these, the centre."""
        if by_mean:
            return cls(centres(chunk.ids, chunk), (chunk.left + chunk.right > 0)[:, :, None])
        return cls(chunk.ids, pairs(chunk))

    def scores(self, h: Float[Array, "K B d"], rows: Float[Array, "K W d"]) -> Float[Array, "K B S"]:
        """h of each centre times the row of each word that it predicts."""
        if self.there.shape[2] == 1:
            return jnp.sum(h * rows, axis=2, keepdims=True)
        return by_offset(product("kbd,kwd->kbw", h, rows))

    def chosen(self, words: Bool[Array, "K W"]) -> Bool[Array, "K B S"]:
        """For each centre which of its S are there and among these words."""
        if self.there.shape[2] == 1:
            return self.there & words[:, :, None]
        K, B, _ = self.there.shape
        return self.there & by_offset(jnp.broadcast_to(words[:, None], (K, B, words.shape[1])))


@dataclasses.dataclass(frozen=True)
class Full:
    """One softmax over `words` words."""

    words: int

    def init(self, key: PRNGKeyArray, width: int) -> Classes:
        """Zeros, as word2vec's output table starts."""
        return Classes(jnp.zeros((padded(self.words), width)))

    def loss(self, h: Float[Array, "K B D"], output: Classes, predicted: Predicted) -> Float[Array, ""]:
        """J over what is predicted."""
        seen = predicted.scores(h, output.classes[predicted.ids])
        z = jnp.sum(predicted.there, axis=2) * log_sum(h, output.classes, self.words)
        return jnp.sum(z) - jnp.sum(jnp.where(predicted.there, seen, 0))


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """Words by falling frequency: a head and clusters."""

    limits: tuple[int, ...]
    """The first word of each cluster, then the number of words."""

    @property
    def head(self) -> int:
        """Classes of the head."""
        return self.limits[0] + len(self.limits) - 1

    def init(self, key: PRNGKeyArray, width: int) -> Clusters:
        """Classes are zeros; P_t is uniform, of a variance that leaves the squared length of h as it is, over 3."""
        tails = []
        for t in range(len(self.limits) - 1):
            d, limit = max(1, width // NARROWER ** (t + 1)), 1 / np.sqrt(width)
            narrow = jax.random.uniform(jax.random.fold_in(key, t), (width, d), minval=-limit, maxval=limit)
            tails.append(Tail(narrow, jnp.zeros((padded(self.limits[t + 1] - self.limits[t]), d))))
        return Clusters(jnp.zeros((padded(self.head), width)), tuple(tails))

    def loss(self, h: Float[Array, "K B D"], output: Clusters, predicted: Predicted) -> Float[Array, ""]:
        """J over what is predicted."""
        ids, there = predicted.ids, predicted.there
        cluster = sum((ids >= limit).astype(jnp.int32) for limit in self.limits[:-1])
        heads = jnp.where(cluster > 0, self.limits[0] + cluster - 1, ids)
        seen = predicted.scores(h, output.classes[heads])
        j = jnp.sum(jnp.sum(there, axis=2) * log_sum(h, output.classes, self.head)) - jnp.sum(jnp.where(there, seen, 0))
        for t, tail in enumerate(output.tails):
            size, z = self.limits[t + 1] - self.limits[t], product("kbd,dn->kbn", h, tail.narrow)
            here = predicted.chosen(cluster == t + 1)
            rows = tail.classes[jnp.clip(ids - self.limits[t], 0, size - 1)]
            j += weighted_log_sums(jnp.sum(here, axis=2), z, tail.classes, size)
            j -= jnp.sum(jnp.where(here, predicted.scores(z, rows), 0))
        return j


def weighted_log_sums(
    weight: Int[Array, "K B"], h: Float[Array, "K B d"], classes: Float[Array, "C d"], size: int
) -> Float[Array, ""]:
    """sum_i weight_i log_sum(h_i); centres of weight 0 are gathered, and cost nothing where they fill a group."""
    K, B, d = h.shape
    order = jnp.argsort(weight == 0, axis=1, stable=True)[:, :, None]
    weight, h = jnp.take_along_axis(weight[:, :, None], order, 1)[:, :, 0], jnp.take_along_axis(h, order, 1)
    rest = -B % GROUP
    weight = jnp.pad(weight, ((0, 0), (0, rest))).reshape(K, -1, GROUP).swapaxes(0, 1)
    h = jnp.pad(h, ((0, 0), (0, rest), (0, 0))).reshape(K, -1, GROUP, d).swapaxes(0, 1)

    def more(j: Array, group: tuple[Array, Array]) -> tuple[Array, None]:
        some = jax.lax.cond(
            jnp.any(group[0] > 0), lambda w, h: jnp.sum(w * log_sum(h, classes, size)), lambda *_: jnp.zeros(()), *group
        )
        return j + some, None

    return jax.lax.scan(more, jnp.zeros(()), (weight, h))[0]


@jax.custom_vjp
def read(rows: Float[Array, "K E D"], reader: Reader, chunk: Chunk) -> Float[Array, "K B D"]:
    """h, whose gradient goes back to the rows as the reader says."""
    return reader.read(rows, chunk)


def _forth(rows: Array, reader: Reader, chunk: Chunk) -> tuple[Array, tuple]:
    return reader.read(rows, chunk), (rows, reader, chunk)


def _back(kept: tuple, by_h: Array) -> tuple:
    rows, reader, chunk = kept
    return reader.back(by_h, rows, chunk), None, None


read.defvjp(_forth, _back)


@dataclasses.dataclass(frozen=True)
class Softmax:
    """Skip-gram or CBOW with a softmax."""

    reader: Reader
    words: Full | Adaptive
    by_mean: bool = False
    """Whether h is a mean that predicts its centre (CBOW), not a centre that predicts the words around it."""

    def init(self, key: PRNGKeyArray, width: int) -> Classes | Clusters:
        """The output half of the parameters."""
        return self.words.init(key, width)

    def loss(self, params: Params, batch: Batch) -> Sums:
        """J over what the batch predicts, and how much that is. Noise words are not read."""

        @jax.checkpoint
        def one(params: Params, chunk: Chunk) -> tuple[Array, Array]:
            h = read(params.input[self.reader.rows(chunk)], self.reader, chunk)
            predicted = Predicted.of(chunk, self.by_mean)
            return self.words.loss(h, params.output, predicted), jnp.sum(predicted.there).astype(h.dtype)

        def add(carry: tuple[Array, Array], numbered: tuple[Array, Chunk]) -> tuple[tuple[Array, Array], None]:
            n, chunk = numbered
            zero = jnp.zeros(())
            more = jax.lax.cond(n < batch.chunks, one, lambda *_: (zero, zero), params, chunk)
            return (carry[0] + more[0], carry[1] + more[1]), None

        start = (jnp.zeros(()), jnp.zeros(()))
        sums, _ = jax.lax.scan(add, start, (jnp.arange(batch.ids.shape[0]), Chunk(*batch[:4])))
        return {"loss": sums}
