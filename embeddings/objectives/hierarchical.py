"""Hierarchical softmax (Morin and Bengio 2005; Mikolov, Sutskever et al. 2013, section 2.1).

A word is the path to it down a binary tree: at each inner node n of the path, with code d_n = 1 where the path goes on
to the right, the probability of the turn is sigma((1 - 2 d_n) h . u_n), so those of all words add up to 1. Of a word w
that is predicted from h,

    J = - sum_(n on the path of w) log sigma((1 - 2 d_n) h . u_n)          dJ / ds_n = sigma(s_n) - (1 - d_n)

CBOW predicts a centre from the mean of the words around it. Skip-gram predicts it from each of those words by itself,
as the authors' program does: over a text, pairs (centre, word around) and (word around, centre) are the same.

The T first nodes are on the paths of most words. A row h is scored with all of them once, in a dense product; how many
of the paths that it predicts pass a node, b, and how many turn left there, a, are sums over a window:

    J = sum_n b_n softplus(s_n) - a_n s_n                                  dJ / ds_n = b_n sigma(s_n) - a_n

The rest of each path comes in slabs, beside the few rows from which its words are predicted; see inputs/paths.py.

Shapes: K blocks, B centres, R = B + 2 window rows, H rows predicted from (skip-gram: R, CBOW: B), T nodes of the top, S
slabs, E turns a slab, Q rows of h beside a slab, D width.
"""
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embeddings.inputs.huffman import Huffman
from embeddings.inputs.paths import SPAN, PathChunk
from embeddings.objectives.windows import Sums, Total, by_both, pairs, product, same, spread
from embeddings.objectives.words import Context, Objective


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Around:
    """Skip-gram's reader where words around the centre predict it, each by itself: h is the rows of all of them."""

    def rows(self, chunk: PathChunk) -> Int[Array, "K R"]:
        """All R words of a block."""
        return chunk.ids

    def read(self, rows: Float[Array, "K R D"], chunk: PathChunk) -> Float[Array, "K R D"]:
        """The rows as they are."""
        return rows

    def back(self, by_h: Float[Array, "K R D"], rows: Array, chunk: PathChunk) -> Float[Array, "K R D"]:
        """The gradient as it is."""
        return by_h


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class HierarchicalSoftmax:
    """The paths of all centres."""

    tops: Float[Array | np.ndarray, "exits 2 T"]
    """For each turn out of the top: the nodes of the top on the way to it, and where that goes left."""
    by_mean: bool = dataclasses.field(default=False, metadata={"static": True})
    """Whether h has one row a centre (CBOW), not the rows of the words around it."""

    def rows(self, chunk: PathChunk) -> Int[Array, "K T_and_SE"]:
        """The nodes of the top, then those of the slabs."""
        K, T = chunk.ids.shape[0], self.tops.shape[2]
        top = jnp.broadcast_to(jnp.arange(T, dtype=chunk.turns.dtype), (K, T))
        return jnp.concatenate([top, chunk.turns.reshape(K, -1) >> 1], axis=1)

    def _passing(self, chunk: PathChunk) -> tuple[Array, Array]:
        """b and a: for each row of h the paths predicted from it that pass a node, and that turn left; `[K, H, T]`."""
        T = self.tops.shape[2]
        of_centre = jnp.asarray(self.tops).reshape(-1, 2 * T)[chunk.exits]
        if self.by_mean:
            both = jnp.where((chunk.left + chunk.right > 0)[:, :, None], of_centre, 0)
        else:
            both = spread(jnp.where(pairs(chunk), 1.0, 0.0), of_centre)
        return both[:, :, :T], both[:, :, T:]

    def _slabs(self, h: Array, rows: Array, chunk: PathChunk) -> tuple[Array, Array, Array]:
        """Where in h, blocks counted through, the rows beside each slab start; these rows and the slabs' nodes."""
        K, H, D = h.shape
        Q = H - chunk.left.shape[1] + min(SPAN, chunk.left.shape[1])
        starts = (chunk.starts + H * jnp.arange(K, dtype=chunk.starts.dtype)[:, None]).reshape(-1)
        beside = jax.vmap(lambda start: jax.lax.dynamic_slice(h.reshape(-1, D), (start, 0), (Q, D)))(starts)
        return starts, beside, rows[:, self.tops.shape[2] :].reshape(-1, chunk.turns.shape[2], D)

    def _predicted(self, Q: int, chunk: PathChunk) -> Bool[Array, "KS Q E"]:
        """Whether a turn is on the path of a word that a row beside it predicts."""
        E = chunk.turns.shape[2]
        centre, left, right = (a.reshape(-1, 1, E) for a in (chunk.centres, chunk.lefts, chunk.rights))
        row = np.arange(Q, dtype=np.int32)[:, None]
        if self.by_mean:
            return (row == centre) & (left + right > 0)
        offset = row - centre - (chunk.ids.shape[1] - chunk.left.shape[1]) // 2
        return (offset >= -left) & (offset <= right) & (offset != 0)

    def loss(self, h: Float[Array, "K H D"], rows: Array, chunk: PathChunk, total: Total = same) -> Sums:
        """J over the pairs of the chunk (of CBOW, its centres that have a context); the weight is their number."""
        T = self.tops.shape[2]
        passing, left = self._passing(chunk)
        s = total(product("khd,ktd->kht", h, rows[:, :T]))
        j = jnp.sum(passing * jax.nn.softplus(s) - left * s)
        _, beside, nodes = self._slabs(h, rows, chunk)
        s = total(product("sqd,sed->sqe", beside, nodes))
        goes_left = _goes_left(chunk)
        j += jnp.sum(jnp.where(self._predicted(s.shape[1], chunk), jax.nn.softplus(s) - goes_left * s, 0))
        c = chunk.left + chunk.right
        return {"loss": (j, jnp.sum(c > 0 if self.by_mean else c).astype(j.dtype))}

    def gradient(
        self, h: Float[Array, "K H D"], rows: Array, chunk: PathChunk, total: Total = same, factor: float | Array = 1.0
    ) -> tuple[Float[Array, "K H D"], Float[Array, "K T_and_SE D"]]:
        """dJ / dh and dJ by each row, times `factor`."""
        K, _, D = h.shape
        top = rows[:, : self.tops.shape[2]]
        passing, left = self._passing(chunk)
        s = total(product("khd,ktd->kht", h, top))
        g = factor * (passing * jax.nn.sigmoid(s) - left)
        by_h, by_top = by_both(g, h, top)
        starts, beside, nodes = self._slabs(h, rows, chunk)
        s = total(product("sqd,sed->sqe", beside, nodes))
        g = jnp.where(self._predicted(s.shape[1], chunk), factor, 0) * (jax.nn.sigmoid(s) - _goes_left(chunk))
        by_beside, by_nodes = by_both(g, beside, nodes)
        by_h = _add_windows(by_h.reshape(-1, D), starts, by_beside).reshape(by_h.shape)
        return by_h, jnp.concatenate([by_top, by_nodes.reshape(K, -1, D)], axis=1)


def _goes_left(chunk: PathChunk) -> Float[Array, "KS 1 E"]:
    """1 - d for each turn."""
    return (1 - (chunk.turns & 1)).astype(jnp.float32).reshape(-1, 1, chunk.turns.shape[2])


def _add_windows(rows: Array, starts: Array, windows: Array) -> Array:
    """To the rows `[n, D]` is added what stands in windows `[m, Q, D]` that start at some of them."""
    numbers = jax.lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2), inserted_window_dims=(), scatter_dims_to_operand_dims=(0,)
    )
    return jax.lax.scatter_add(rows, starts[:, None], windows, numbers, mode="promise_in_bounds")


def objective(huffman: Huffman, algorithm: str, exact: bool = False) -> Objective:
    """Hierarchical softmax over a tree, for algorithm skipgram or cbow; `exact` as in words.Context."""
    if algorithm == "cbow":
        return Objective(Context(exact), HierarchicalSoftmax(huffman.tops(), by_mean=True))
    return Objective(Around(), HierarchicalSoftmax(huffman.tops()))
