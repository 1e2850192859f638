"""Losses over words and their neighbours.

**Negative sampling** (Mikolov, Sutskever et al. 2013, eq. 4). For each pair of a centre i and a word j in its reach,
with k words n drawn from the noise distribution,

    J = - sum_(i,j) [ log sigma(s_ij) + sum_n log sigma(-s_in) ]          s_ij = v_i . u_j,  s_in = v_i . u_n

The B centres of a block share N noise words, each with weight k / N: every pair sees k in expectation, and all scores
of a block are one matrix product. With m_ij = 1 where i and j are a pair and c_i = sum_j m_ij,

    J          = - sum_ij m_ij log sigma(s_ij) - sum_in c_i (k / N) log sigma(-s_in)
    dJ / ds_ij = m_ij (sigma(s_ij) - 1)        dJ / ds_in = c_i (k / N) sigma(s_in)

Skip-gram has h_i = v_i. CBOW has one score a centre, s_i = h_i . u_i with h_i = sum_j m_ij v_j / c_i, and weight 1 for
each centre that has a context. The authors' program adds dJ / dh_i whole to each context word, without the 1 / c_i that
the mean would give; that is the default here, and `exact` turns it off.

A row objective says which rows of the tables a chunk reads, the loss, and its gradient by those rows, times a factor (a
learning rate costs nothing there). Where a row stands in a chunk several times, each place has its own part of the
gradient. `total` adds partial scores up where the width of the tables is split over devices. It is made of two halves:
a reader makes h, one row a centre, of rows of the input table (and takes dJ / dh back to them); a writer scores h with
rows of the output table.

What belongs to pairs is kept by offset, `[B, S]`: column o is the word o - window after the centre. The gradients are
written for speed: sums over a window are S - 1 shifted products instead of a matrix product with a band of zeros, and
barriers keep the compiler from doing the same work anew for each shift.

Shapes: K blocks, B centres, S = 2 window + 1 offsets, R = B + 2 window rows, N noise words, D width, V vocabulary.
"""
import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embeddings.inputs.words import Batch, Chunk, Windows
from embeddings.models.word2vec import Params

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over chunks, devices and steps; means do not."""
Total = Callable[[Array], Array]
Tree = Any
"""Numbers of rows, or rows: an array, or several where a half reads several tables."""


@runtime_checkable
class Noisy(Windows, Protocol):
    """Windows, and noise words for each block."""

    negatives: Int[Array, "K N"]


def pairs(chunk: Windows) -> Bool[Array, "K B S"]:
    """m by offset: whether centre and word are a pair."""
    window = (chunk.ids.shape[1] - chunk.left.shape[1]) // 2
    offset = np.arange(-window, window + 1, dtype=np.int32)
    return (offset >= -chunk.left[:, :, None]) & (offset <= chunk.right[:, :, None]) & (offset != 0)


def by_offset(scores: Float[Array, "K B R"]) -> Float[Array, "K B S"]:
    """Scores of each centre with all rows -> with the words around it: row i + o of centre i becomes column o."""
    K, B, R = scores.shape
    # In a row that is one longer, what stood on a diagonal stands in a column.
    skewed = jnp.pad(scores.reshape(K, B * R), ((0, 0), (0, B))).reshape(K, B, R + 1)
    return skewed[:, :, : R - B + 1]


def around(weight: Float[Array, "K B S"], rows: Float[Array, "K R D"]) -> Float[Array, "K B D"]:
    """For each centre the weighted sum of the words around it; the centre itself has no part."""
    B, S = weight.shape[1:]
    return sum(weight[:, :, o, None] * rows[:, o : o + B] for o in range(S) if o != S // 2)


def spread(weight: Float[Array, "K B S"], centres: Float[Array, "K B D"]) -> Float[Array, "K R D"]:
    """For each word the weighted sum of the centres around which it stands: the transpose of `around`."""
    B, S = weight.shape[1:]
    wide = [jnp.pad(a, ((0, 0), (S - 1, S - 1), (0, 0))) for a in (weight, centres)]
    weight, centres = jax.lax.optimization_barrier(wide)
    shifts = ((o, slice(S - 1 - o, S - 1 - o + B + S - 1)) for o in range(S) if o != S // 2)
    return sum(weight[:, here, o, None] * centres[:, here] for o, here in shifts)


def centres(rows: Array, chunk: Windows) -> Array:
    """The part of `[K, R, ...]` without the halo."""
    B = chunk.left.shape[1]
    window = (rows.shape[1] - B) // 2
    return rows[:, window : window + B]


def product(equation: str, *operands: Array) -> Array:
    """A matrix product in full single precision, which accelerators do not give by themselves."""
    return jnp.einsum(equation, *operands, precision=jax.lax.Precision.HIGHEST)


def same(x: Array) -> Array:
    """Where the width is not split, a partial score is the whole."""
    return x


def by_both(g: Array, x: Array, u: Array) -> tuple[Array, Array]:
    """From dJ by the scores `[K, B, N]` of x `[K, B, D]` with u `[K, N, D]`: dJ by x and by u."""
    g = jax.lax.optimization_barrier(g)
    turned = jax.lax.optimization_barrier(jnp.swapaxes(g, 1, 2))
    return product("kbn,knd->kbd", g, u), product("knb,kbd->knd", turned, x)


@runtime_checkable
class Reader(Protocol):
    """How h is made of rows of the input table."""

    def rows(self, chunk: Windows) -> Tree:
        """Numbers of the rows that it reads."""

    def read(self, rows: Tree, chunk: Windows) -> Float[Array, "K B D"]:
        """h, one row a centre."""

    def back(self, by_h: Float[Array, "K B D"], rows: Tree, chunk: Windows) -> Tree:
        """From dJ / dh: dJ by each row."""


@runtime_checkable
class Writer(Protocol):
    """What h is scored with: rows of the output table."""

    def rows(self, chunk: Windows) -> Tree:
        """Numbers of the rows that it reads."""

    def loss(self, h: Float[Array, "K B D"], rows: Tree, chunk: Windows, total: Total) -> Sums:
        """J, and what it is the sum over."""

    def gradient(
        self, h: Float[Array, "K B D"], rows: Tree, chunk: Windows, total: Total, factor: float | Array
    ) -> tuple[Float[Array, "K B D"], Tree]:
        """dJ / dh and dJ by each row, times `factor`."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Objective:
    """A row objective: a reader and a writer."""

    reader: Reader
    writer: Writer

    def rows(self, chunk: Windows) -> Params:
        """Numbers of the rows of both tables that a chunk reads."""
        return Params(self.reader.rows(chunk), self.writer.rows(chunk))

    def loss(self, rows: Params, chunk: Windows, total: Total = same) -> Sums:
        """J over the chunk, and its weight."""
        return self.writer.loss(self.reader.read(rows.input, chunk), rows.output, chunk, total)

    def gradient(self, rows: Params, chunk: Windows, total: Total = same, factor: float | Array = 1.0) -> Params:
        """dJ by each row, times `factor`."""
        h = self.reader.read(rows.input, chunk)
        by_h, by_output = self.writer.gradient(h, rows.output, chunk, total, factor)
        return Params(self.reader.back(by_h, rows.input, chunk), by_output)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Centre:
    """Skip-gram's reader: h_i = v_i."""

    def rows(self, chunk: Windows) -> Int[Array, "K B"]:
        """The B centres."""
        return centres(chunk.ids, chunk)

    def read(self, rows: Float[Array, "K B D"], chunk: Windows) -> Float[Array, "K B D"]:
        """The rows as they are."""
        return rows

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: Windows) -> Float[Array, "K B D"]:
        """The gradient as it is."""
        return by_h


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """CBOW's reader: h_i is the mean of the words around the centre, 0 where there is none."""

    exact: bool = dataclasses.field(default=False, metadata={"static": True})
    """Whether a context word gets its share 1 / c_i of dJ / dh_i, as the gradient of a mean is, or the whole of it."""

    def rows(self, chunk: Windows) -> Int[Array, "K R"]:
        """All R words of a block."""
        return chunk.ids

    def read(self, rows: Float[Array, "K R D"], chunk: Windows) -> Float[Array, "K B D"]:
        """h."""
        c = (chunk.left + chunk.right)[:, :, None]
        B = c.shape[1]
        mean = jnp.where(pairs(chunk), _share(chunk), 0), rows
        # What stands in a branch is computed once; otherwise the compiler does it anew for each reader of h.
        return jax.lax.cond(jnp.any(c > 0), around, lambda weight, rows: jnp.zeros_like(rows[:, :B]), *mean)

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: Windows) -> Float[Array, "K R D"]:
        """To each word dJ / dh_i of each centre it stands around, or its share."""
        return spread(jnp.where(pairs(chunk), 1.0, 0.0), _share(chunk) * by_h if self.exact else by_h)


def _share(chunk: Windows) -> Float[Array, "K B 1"]:
    """1 / c_i, 0 where a centre has no context."""
    c = (chunk.left + chunk.right)[:, :, None]
    return jnp.where(c > 0, 1 / jnp.maximum(c, 1), 0.0)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AroundByNoise:
    """Each word around a centre against noise words: skip-gram with negative sampling."""

    negatives: int = dataclasses.field(default=5, metadata={"static": True})
    """Noise words a pair, k."""

    def rows(self, chunk: Noisy) -> Int[Array, "K R_and_N"]:
        """The R words of a block, then the noise."""
        return jnp.concatenate([chunk.ids, chunk.negatives], axis=1)

    def _scores(self, h: Array, rows: Array, chunk: Noisy, total: Total) -> tuple[Array, Array]:
        """s_ij by offset and s_in, `[K, B, S]` and `[K, B, N]`."""
        s = total(product("kbd,knd->kbn", h, rows))
        R = chunk.ids.shape[1]
        return by_offset(s[:, :, :R]), s[:, :, R:]

    def loss(self, h: Float[Array, "K B D"], rows: Array, chunk: Noisy, total: Total = same) -> Sums:
        """J over the pairs of the chunk; the weight is their number."""
        seen, noise = self._scores(h, rows, chunk, total)
        c = chunk.left + chunk.right
        share = self.negatives / noise.shape[2]
        j = jnp.sum(jnp.where(pairs(chunk), jax.nn.softplus(-seen), 0))
        return {"loss": (j + share * jnp.sum(c[:, :, None] * jax.nn.softplus(noise)), jnp.sum(c).astype(j.dtype))}

    def gradient(
        self, h: Float[Array, "K B D"], rows: Array, chunk: Noisy, total: Total = same, factor: float | Array = 1.0
    ) -> tuple[Float[Array, "K B D"], Array]:
        """dJ / dh and dJ by each row, times `factor`."""
        R = chunk.ids.shape[1]
        seen, noise = self._scores(h, rows, chunk, total)
        g = jnp.where(pairs(chunk), factor, 0) * (jax.nn.sigmoid(seen) - 1)
        g = jax.lax.optimization_barrier(g)
        weight = factor * (self.negatives / noise.shape[2]) * (chunk.left + chunk.right)
        g_noise = weight[:, :, None] * jax.nn.sigmoid(noise)
        by_h, by_noise = by_both(g_noise, h, rows[:, R:])
        by_words = spread(g, h)
        return by_h + around(g, rows[:, :R]), jnp.concatenate([by_words, by_noise], axis=1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CentreByNoise:
    """Each centre that has a context against noise words: CBOW with negative sampling."""

    negatives: int = dataclasses.field(default=5, metadata={"static": True})
    """Noise words a centre, k."""

    def rows(self, chunk: Noisy) -> Int[Array, "K B_and_N"]:
        """The B centres, then the noise."""
        return jnp.concatenate([centres(chunk.ids, chunk), chunk.negatives], axis=1)

    def _scores(self, h: Array, rows: Array, total: Total) -> tuple[Array, Array]:
        """s_i `[K, B]` and s_in `[K, B, N]`."""
        B = h.shape[1]
        return total(jnp.sum(h * rows[:, :B], axis=2)), total(product("kbd,knd->kbn", h, rows[:, B:]))

    def loss(self, h: Float[Array, "K B D"], rows: Array, chunk: Noisy, total: Total = same) -> Sums:
        """J over the centres of the chunk that have a context; the weight is their number."""
        seen, noise = self._scores(h, rows, total)
        j = jax.nn.softplus(-seen) + (self.negatives / noise.shape[2]) * jnp.sum(jax.nn.softplus(noise), axis=2)
        there = chunk.left + chunk.right > 0
        return {"loss": (jnp.sum(jnp.where(there, j, 0)), jnp.sum(there, dtype=j.dtype))}

    def gradient(
        self, h: Float[Array, "K B D"], rows: Array, chunk: Noisy, total: Total = same, factor: float | Array = 1.0
    ) -> tuple[Float[Array, "K B D"], Array]:
        """dJ / dh and dJ by each row, times `factor`."""
        seen, noise = self._scores(h, rows, total)
        B = h.shape[1]
        weight = jnp.where(chunk.left + chunk.right > 0, factor, 0.0)[:, :, None]
        g = weight * (jax.nn.sigmoid(seen)[:, :, None] - 1)
        g_noise = weight * (self.negatives / noise.shape[2]) * jax.nn.sigmoid(noise)
        by_h, by_noise = by_both(g_noise, h, rows[:, B:])
        return by_h + g * rows[:, :B], jnp.concatenate([g * h, by_noise], axis=1)


def skip_gram(negatives: int = 5) -> Objective:
    """Skip-gram with negative sampling, k = `negatives`."""
    return Objective(Centre(), AroundByNoise(negatives))


def cbow(negatives: int = 5, exact: bool = False) -> Objective:
    """CBOW with negative sampling, k = `negatives`; `exact` as in Context."""
    return Objective(Context(exact), CentreByNoise(negatives))


@dataclasses.dataclass(frozen=True)
class Softmax:
    """Skip-gram with a softmax over the whole vocabulary (Mikolov, Sutskever et al. 2013, eq. 2).

        J = - sum_(i,j) log p(j | i),   p(j | i) = exp(v_i . u_j) / sum_w exp(v_i . u_w)

    A dense objective: a loss of (params, batch), differentiated by jax. The logits of a chunk are made again on the way
    back instead of being kept.
    """

    def loss(self, params: Params, batch: Batch) -> Sums:
        """J over the pairs of the batch, and their number. Noise words are not read."""

        @jax.checkpoint
        def one(params: Params, chunk: Chunk) -> tuple[Array, Array]:
            c = chunk.left + chunk.right
            v = params.input[centres(chunk.ids, chunk)]
            log_z = jax.nn.logsumexp(product("kbd,vd->kbv", v, params.output), axis=2)
            seen = by_offset(product("kbd,krd->kbr", v, params.output[chunk.ids]))
            return jnp.sum(c * log_z) - jnp.sum(jnp.where(pairs(chunk), seen, 0)), jnp.sum(c).astype(v.dtype)

        def add(carry: tuple[Array, Array], numbered: tuple[Array, Chunk]) -> tuple[tuple[Array, Array], None]:
            n, chunk = numbered
            zero = jnp.zeros(())
            more = jax.lax.cond(n < batch.chunks, one, lambda *_: (zero, zero), params, chunk)
            return (carry[0] + more[0], carry[1] + more[1]), None

        chunks = Chunk(*batch[:4])
        start = (jnp.zeros(()), jnp.zeros(()))
        sums, _ = jax.lax.scan(add, start, (jnp.arange(batch.ids.shape[0]), chunks))
        return {"loss": sums}
