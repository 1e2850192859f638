"""Losses over words and their neighbours.

**Negative sampling** (Mikolov, Sutskever et al. 2013, eq. 4). For each pair of a centre i and a word j in its reach, with
k words n drawn from the noise distribution,

    J = - sum_(i,j) [ log sigma(s_ij) + sum_n log sigma(-s_in) ]          s_ij = v_i . u_j,  s_in = v_i . u_n

The B centres of a block share N noise words, each with weight k / N: every pair sees k in expectation, and all scores of
a block are one matrix product. With m_ij = 1 where i and j are a pair and c_i = sum_j m_ij,

    J          = - sum_ij m_ij log sigma(s_ij) - sum_in c_i (k / N) log sigma(-s_in)
    dJ / ds_ij = m_ij (sigma(s_ij) - 1)        dJ / ds_in = c_i (k / N) sigma(s_in)

CBOW has one score a centre, s_i = h_i . u_i with h_i = sum_j m_ij v_j / c_i, and weight 1 for each centre that has a
context. The authors' program adds dJ / dh_i whole to each context word, without the 1 / c_i that the mean would give;
that is the default here, and `exact` turns it off.

A row objective says which rows of the tables a chunk reads, the loss, and its gradient by those rows, times a factor (a
learning rate costs nothing there). Where a row stands in a chunk several times, each place has its own part of the
gradient. `total` adds partial scores up where the width of the tables is split over devices.

Shapes: K blocks, B centres, R = B + 2 window rows, N noise words, D width, V vocabulary.
"""
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embeddings.inputs.words import Batch, Chunk
from embeddings.models.word2vec import Params

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over chunks, devices and steps; means do not."""
Total = Callable[[Array], Array]


def offsets(chunk: Chunk) -> Int[np.ndarray, "B R"]:
    """How many words row j stands after centre i; out of any reach for the centre itself."""
    B, R = chunk.left.shape[1], chunk.ids.shape[1]
    offset = np.arange(R) - np.arange(B)[:, None] - (R - B) // 2
    return np.where(offset == 0, R, offset).astype(np.int32)


def pairs(chunk: Chunk) -> Bool[Array, "K B R"]:
    """m: whether centre i and row j are a pair."""
    offset = offsets(chunk)
    return (offset >= -chunk.left[:, :, None]) & (offset <= chunk.right[:, :, None])


def _centres(rows: Array, chunk: Chunk) -> Array:
    """The part of `[K, R, ...]` without the halo."""
    B = chunk.left.shape[1]
    window = (rows.shape[1] - B) // 2
    return rows[:, window : window + B]


def _product(equation: str, *operands: Array) -> Array:
    """A matrix product in full single precision, which accelerators do not give by themselves."""
    return jnp.einsum(equation, *operands, precision=jax.lax.Precision.HIGHEST)


def _same(x: Array) -> Array:
    return x


@dataclasses.dataclass(frozen=True)
class SkipGram:
    """Skip-gram with negative sampling."""

    negatives: int = 5
    """Noise words a pair, k."""

    def rows(self, chunk: Chunk) -> Params:
        """Word numbers: of the input table the centres `[K, B]`; of the output table R words, then the noise `[K, R + N]`."""
        return Params(_centres(chunk.ids, chunk), jnp.concatenate([chunk.ids, chunk.negatives], axis=1))

    def loss(self, rows: Params, chunk: Chunk, total: Total = _same) -> Sums:
        """J over the pairs of the chunk, from rows `[K, B, D]` and `[K, R + N, D]`; the weight is the number of pairs."""
        m, c = pairs(chunk), chunk.left + chunk.right
        R, N = m.shape[2], chunk.negatives.shape[1]
        s = total(_product("kbd,knd->kbn", rows.input, rows.output))
        seen = jnp.sum(jnp.where(m, jax.nn.softplus(-s[:, :, :R]), 0))
        noise = jnp.sum(c * jnp.sum(jax.nn.softplus(s[:, :, R:]), axis=2)) * (self.negatives / N)
        return {"loss": (seen + noise, jnp.sum(c).astype(s.dtype))}

    def gradient(self, rows: Params, chunk: Chunk, total: Total = _same, factor: float | Array = 1.0) -> Params:
        """dJ by each row, times `factor`.

        Seen words and noise go through the same arithmetic, told apart by constants: offset 0 is in every reach.
        """
        R, N = chunk.ids.shape[1], chunk.negatives.shape[1]
        s = total(_product("kbd,knd->kbn", rows.input, rows.output))
        offset = np.pad(offsets(chunk), ((0, 0), (0, N)))
        seen = (np.arange(R + N) < R).astype(np.float32)
        left, right = chunk.left[:, :, None], chunk.right[:, :, None]
        weight = factor * (seen + (1 - seen) * (self.negatives / N) * (left + right))
        g = jnp.where((offset >= -left) & (offset <= right), weight, 0) * (jax.nn.sigmoid(s) - seen)
        return Params(_product("kbn,knd->kbd", g, rows.output), _product("kbn,kbd->knd", g, rows.input))


@dataclasses.dataclass(frozen=True)
class Cbow:
    """Continuous bag of words with negative sampling."""

    negatives: int = 5
    """Noise words a centre, k."""
    exact: bool = False
    """Whether a context word gets its share 1 / c_i of dJ / dh_i, as the gradient of the mean is, or the whole of it."""

    def rows(self, chunk: Chunk) -> Params:
        """Word numbers: of the input table R words `[K, R]`; of the output table the centres, then the noise `[K, B + N]`."""
        return Params(chunk.ids, jnp.concatenate([_centres(chunk.ids, chunk), chunk.negatives], axis=1))

    def _scores(self, rows: Params, m: Array, c: Array, total: Total) -> tuple[Array, Array, Array]:
        """h `[K, B, D]`, s_i `[K, B]`, s_in `[K, B, N]`."""
        h = _product("kbr,krd->kbd", m / jnp.maximum(c, 1)[:, :, None], rows.input)
        B = m.shape[1]
        seen = total(jnp.sum(h * rows.output[:, :B], axis=2))
        return h, seen, total(_product("kbd,knd->kbn", h, rows.output[:, B:]))

    def loss(self, rows: Params, chunk: Chunk, total: Total = _same) -> Sums:
        """J over the centres of the chunk that have a context; the weight is their number."""
        c = chunk.left + chunk.right
        _, seen, noise = self._scores(rows, pairs(chunk), c, total)
        share = self.negatives / chunk.negatives.shape[1]
        each = jax.nn.softplus(-seen) + share * jnp.sum(jax.nn.softplus(noise), axis=2)
        return {"loss": (jnp.sum(jnp.where(c > 0, each, 0)), jnp.sum(c > 0, dtype=each.dtype))}

    def gradient(self, rows: Params, chunk: Chunk, total: Total = _same, factor: float | Array = 1.0) -> Params:
        """dJ by each row, times `factor`; unless `exact`, input rows get dJ / dh_i of each centre they stand around."""
        m, c = pairs(chunk), chunk.left + chunk.right
        h, seen, noise = self._scores(rows, m, c, total)
        B = m.shape[1]
        weight = jnp.where(c > 0, factor, 0.0)
        g_seen = (weight * (jax.nn.sigmoid(seen) - 1))[:, :, None]
        g_noise = (weight * (self.negatives / chunk.negatives.shape[1]))[:, :, None] * jax.nn.sigmoid(noise)
        dh = g_seen * rows.output[:, :B] + _product("kbn,knd->kbd", g_noise, rows.output[:, B:])
        share = m / jnp.maximum(c, 1)[:, :, None] if self.exact else m.astype(dh.dtype)
        output = jnp.concatenate([g_seen * h, _product("kbn,kbd->knd", g_noise, h)], axis=1)
        return Params(_product("kbr,kbd->krd", share, dh), output)


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
            m, c = pairs(chunk), chunk.left + chunk.right
            v = params.input[_centres(chunk.ids, chunk)]
            log_z = jax.nn.logsumexp(_product("kbd,vd->kbv", v, params.output), axis=2)
            s = _product("kbd,krd->kbr", v, params.output[chunk.ids])
            return jnp.sum(c * log_z) - jnp.sum(jnp.where(m, s, 0)), jnp.sum(c).astype(s.dtype)

        def add(carry: tuple[Array, Array], numbered: tuple[Array, Chunk]) -> tuple[tuple[Array, Array], None]:
            n, chunk = numbered
            zero = jnp.zeros(())
            more = jax.lax.cond(n < batch.chunks, one, lambda *_: (zero, zero), params, chunk)
            return (carry[0] + more[0], carry[1] + more[1]), None

        chunks = Chunk(*batch[:4])
        start = (jnp.zeros(()), jnp.zeros(()))
        sums, _ = jax.lax.scan(add, start, (jnp.arange(batch.ids.shape[0]), chunks))
        return {"loss": sums}
