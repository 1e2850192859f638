"""Losses that tell the words of a text from drawn ones.

**Negative sampling** (Mikolov, Sutskever et al. 2013, eq. 4). For each pair of a centre i and a word j in its reach,
with k words n drawn from the noise distribution P,

    J = - sum_(i,j) [ log sigma(s_ij) + sum_n log sigma(-s_in) ]          s_ij = v_i . u_j,  s_in = v_i . u_n

**Noise contrastive estimation** (Gutmann and Hyvarinen 2012; Mnih and Kavukcuoglu 2013, eqs. 6 and 7) asks whether a
word came from the text or was one of k of the noise, so that exp s is a probability by itself: the same J of
s_ij - log k P(j) and s_in - log k P(n). There a word has a bias, s_ij = v_i . u_j + b_j, which starts at the logarithm
of the word's share of the text.

The B centres of a block share N noise words, each with weight k / N: every pair sees k in expectation, and all scores
of a block are one matrix product. With m_ij = 1 where i and j are a pair and c_i = sum_j m_ij,

    J          = - sum_ij m_ij log sigma(s_ij) - sum_in c_i (k / N) log sigma(-s_in)
    dJ / ds_ij = m_ij (sigma(s_ij) - 1)        dJ / ds_in = c_i (k / N) sigma(s_in)

CBOW has one score a centre, s_i = h_i . u_i, and weight 1 for each centre that has a context.

Shapes: K blocks, B centres, S = 2 window + 1 offsets, R = B + 2 window rows, N noise words, D width, V vocabulary.
"""
import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embeddings.inputs.words import Windows
from embeddings.models.word2vec import Biased
from embeddings.objectives.windows import (
    Sums,
    Total,
    around,
    by_both,
    by_offset,
    centres,
    pairs,
    product,
    same,
    spread,
)
from embeddings.objectives.words import Centre, Context, Objective


@runtime_checkable
class Noisy(Windows, Protocol):
    """Windows, and noise words for each block."""

    negatives: Int[Array, "K N"]


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Contrastive:
    """Noise contrastive estimation: a writer by noise of which h has one more column, 1, and rows have b - log k P."""

    writer: AroundByNoise | CentreByNoise
    log_noise: Float[Array | np.ndarray, "V"]
    """log k P of each word."""

    def rows(self, chunk: Noisy) -> Biased:
        """Those of the writer, and their biases."""
        ids = self.writer.rows(chunk)
        return Biased(ids, ids)

    def _widened(self, h: Array, rows: Biased, chunk: Noisy, total: Total) -> tuple[Array, Array]:
        columns = rows.bias - jnp.asarray(self.log_noise)[self.writer.rows(chunk)][:, :, None]
        devices = total(jnp.ones(()))  # that hold some columns of h each; all of them hold the biases
        return (jnp.concatenate([h, jnp.ones_like(h[:, :, :1])], axis=2),
                jnp.concatenate([rows.rows, columns / devices], axis=2))

    def loss(self, h: Float[Array, "K B D"], rows: Biased, chunk: Noisy, total: Total = same) -> Sums:
        """As of the writer."""
        return self.writer.loss(*self._widened(h, rows, chunk, total), chunk, total)

    def gradient(
        self, h: Float[Array, "K B D"], rows: Biased, chunk: Noisy, total: Total = same, factor: float | Array = 1.0
    ) -> tuple[Float[Array, "K B D"], Biased]:
        """dJ / dh and dJ by each row and bias, times `factor`."""
        by_h, by_rows = self.writer.gradient(*self._widened(h, rows, chunk, total), chunk, total, factor)
        return by_h[:, :, :-1], Biased(by_rows[:, :, :-1], by_rows[:, :, -1:])


def skip_gram(negatives: int = 5) -> Objective:
    """Skip-gram with negative sampling, k = `negatives`."""
    return Objective(Centre(), AroundByNoise(negatives))


def cbow(negatives: int = 5, exact: bool = False) -> Objective:
    """CBOW with negative sampling, k = `negatives`; `exact` as in Context."""
    return Objective(Context(exact), CentreByNoise(negatives))
