"""How h is read where a word is made of several rows: fastText's side of the row objectives of objectives/words.py.

With G_j the rows of word j (its own and its n-grams'; tokenizers/subwords.py) and n_j their number,

    skip-gram    h_i = sum_(g in G_i) z_g / n_i
    CBOW         h_i = sum_j m_ij sum_(g in G_j) z_g / N_i,    N_i = sum_j m_ij n_j

The authors' program adds dJ / dh_i whole to each of these rows, in skip-gram too, without the 1 / n_i or 1 / N_i that a
mean gives: that is the default here, and `exact` turns it off. With position weights d_o the word at offset o counts
d_o * z_g; what d_o gets is exact either way, since the program that was trained with them is not public.

Shapes: K blocks, B centres, S = 2 window + 1 offsets, R = B + 2 window words, E rows of the words of a block, D width.
"""
import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from embeddings.inputs.subwords import SubwordChunk
from embeddings.models.fasttext import Weighted
from embeddings.objectives.windows import around, pairs, spread


def sums(rows: Float[Array, "K E D"], chunk: SubwordChunk) -> Float[Array, "K W D"]:
    """For each word that is read, the sum of its rows."""
    K, E, D = rows.shape
    W = chunk.counts.shape[1]
    # One more word a block takes what is padding.
    flat = jnp.zeros((K * (W + 1), D), rows.dtype).at[_places(chunk)].add(
        rows.reshape(K * E, D), indices_are_sorted=True, mode="promise_in_bounds", wrap_negative_indices=False
    )
    return flat.reshape(K, W + 1, D)[:, :W]


def shares(words: Float[Array, "K W D"], chunk: SubwordChunk) -> Float[Array, "K E D"]:
    """To each row what its word has; to padding 0. The transpose of `sums`."""
    K, W, D = words.shape

    def wide(words: Array) -> Array:
        return jnp.pad(words, ((0, 0), (0, 1), (0, 0)))

    def none(words: Array) -> Array:
        return jnp.zeros((K, W + 1, D), words.dtype)

    # What goes into a branch is computed once; otherwise the compiler does it anew for each row.
    words = jax.lax.cond(jnp.any(chunk.owner[:, 0] < W), wide, none, words)
    rows = words.reshape(K * (W + 1), D).at[_places(chunk)]
    return rows.get(mode="promise_in_bounds", wrap_negative_indices=False).reshape(K, -1, D)


def _places(chunk: SubwordChunk) -> Int[Array, "rows"]:
    block = jnp.arange(len(chunk.owner), dtype=chunk.owner.dtype)[:, None]
    return (chunk.owner + block * (chunk.counts.shape[1] + 1)).reshape(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Centre:
    """Skip-gram's reader: the mean of the centre's rows."""

    exact: bool = dataclasses.field(default=False, metadata={"static": True})
    """Whether a row gets its share 1 / n_i of dJ / dh_i, as the gradient of a mean is, or the whole of it."""

    def rows(self, chunk: SubwordChunk) -> Int[Array, "K E"]:
        """The rows of the B centres."""
        return chunk.rows

    def read(self, rows: Float[Array, "K E D"], chunk: SubwordChunk) -> Float[Array, "K B D"]:
        """h."""
        return sums(rows, chunk) / chunk.counts[:, :, None]

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: SubwordChunk) -> Float[Array, "K E D"]:
        """To each row dJ / dh of its word, or its share."""
        return shares(by_h / chunk.counts[:, :, None] if self.exact else by_h, chunk)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Context:
    """CBOW's reader: the mean of all rows of all words around the centre, 0 where there is none."""

    exact: bool = dataclasses.field(default=False, metadata={"static": True})
    """Whether a row gets its share 1 / N_i of dJ / dh_i, as the gradient of a mean is, or the whole of it."""

    def rows(self, chunk: SubwordChunk) -> Int[Array, "K E"]:
        """The rows of all R words of a block."""
        return chunk.rows

    def read(self, rows: Float[Array, "K E D"], chunk: SubwordChunk) -> Float[Array, "K B D"]:
        """h."""
        return _around(jnp.where(pairs(chunk), _share(chunk), 0.0), sums(rows, chunk))

    def back(self, by_h: Float[Array, "K B D"], rows: Array, chunk: SubwordChunk) -> Float[Array, "K E D"]:
        """To each row dJ / dh_i of each centre around which its word stands, or its share."""
        weight = jnp.where(pairs(chunk), 1.0, 0.0)
        return shares(spread(weight, _share(chunk) * by_h if self.exact else by_h), chunk)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WeightedContext:
    """CBOW's reader with position weights."""

    exact: bool = dataclasses.field(default=False, metadata={"static": True})
    """As in Context."""

    def rows(self, chunk: SubwordChunk) -> Weighted:
        """The rows of all R words of a block, and all position weights, for each block by itself."""
        K, B = chunk.left.shape
        places = chunk.ids.shape[1] - B
        return Weighted(chunk.rows, jnp.broadcast_to(jnp.arange(places), (K, places)))

    def read(self, rows: Weighted, chunk: SubwordChunk) -> Float[Array, "K B D"]:
        """h."""
        B = chunk.left.shape[1]
        words, weight = sums(rows.rows, chunk), jnp.where(pairs(chunk), _share(chunk), 0.0)
        terms = ((weight[:, :, o, None] * words[:, o : o + B], p) for p, o in _offsets(chunk))
        return sum(rows.positions[:, p, None] * term for term, p in terms)

    def back(self, by_h: Float[Array, "K B D"], rows: Weighted, chunk: SubwordChunk) -> Weighted:
        """To each row d_p * dJ / dh_i of each centre around which its word stands at p, or its share; and to d_p."""
        B = chunk.left.shape[1]
        share, m = _share(chunk), pairs(chunk)
        words, shared = sums(rows.rows, chunk), share * by_h
        back = shared if self.exact else by_h
        by_words, by_position = jnp.zeros_like(words), []
        for p, o in _offsets(chunk):
            here = m[:, :, o, None]
            by_words = by_words.at[:, o : o + B].add(jnp.where(here, rows.positions[:, p, None] * back, 0.0))
            by_position.append(jnp.sum(jnp.where(here, shared * words[:, o : o + B], 0.0), axis=1))
        return Weighted(shares(by_words, chunk), jnp.stack(by_position, axis=1))


def _offsets(chunk: SubwordChunk) -> list[tuple[int, int]]:
    """Of each place of the window, its position weight and its column by offset."""
    S = chunk.ids.shape[1] - chunk.left.shape[1] + 1
    return list(enumerate(o for o in range(S) if o != S // 2))


def _around(weight: Float[Array, "K B S"], words: Float[Array, "K R D"]) -> Float[Array, "K B D"]:
    # What stands in a branch is computed once; otherwise the compiler does it anew for each reader of h.
    def none(weight: Array, words: Array) -> Array:
        return jnp.zeros_like(words[:, : weight.shape[1]])

    return jax.lax.cond(jnp.any(weight > 0), around, none, weight, words)


def _share(chunk: SubwordChunk) -> Float[Array, "K B 1"]:
    """1 / N_i, 0 where a centre has no context."""
    B = chunk.left.shape[1]
    m = pairs(chunk)
    counts = chunk.counts
    N = sum(jnp.where(m[:, :, o], counts[:, o : o + B], 0) for o in range(m.shape[2]))[:, :, None]
    return jnp.where(N > 0, 1 / jnp.maximum(N, 1), 0.0)
