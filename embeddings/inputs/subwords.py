"""Batches whose words are made of several rows each: the windows of inputs/words.py, and beside each block its rows.

Words have very different numbers of n-grams, and arrays have one shape: the rows of a block's words stand one after
another in E places. A block ends before B centres where its rows would not fit; so nothing is left out, and few places
are empty. Where a batch needs more than is usual (a word longer than a whole block's rows, a span of long words), E or
the number of chunks is doubled for that batch, which costs a compilation.

Shapes: n words that stay, b blocks, C chunks, K blocks a chunk, B centres a block, R = B + 2 window rows, W words of a
block that are read (B or R), E rows of them, N noise words a block.
"""
import dataclasses
import functools
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, Int32, Int64

from embeddings.inputs.words import Batches, draw, keep_probability
from embeddings.tokenizers.subwords import Rows

SLACK = 1.0625
"""Places of a block as a share of the rows that its words have on the mean: more leaves places empty, less cuts it."""


class SubwordChunk(NamedTuple):
    """What one update reads. Padding, of centres, has 0 words before it and after it."""

    ids: Int[Array, "K R"]
    left: Int[Array, "K B"]
    right: Int[Array, "K B"]
    negatives: Int[Array, "K N"]
    rows: Int[Array, "K E"]
    """Row numbers, word after word; padding is row 0."""
    owner: Int[Array, "K E"]
    """Which of the block's W words has the row, ascending; of padding, W."""
    counts: Int[Array, "K W"]
    """Rows of each word, 1 where there is none."""


class SubwordBatch(NamedTuple):
    """A span of the corpus as C chunks, of which the first `chunks` are filled."""

    ids: Int[Array, "C K R"]
    left: Int[Array, "C K B"]
    right: Int[Array, "C K B"]
    negatives: Int[Array, "C K N"]
    rows: Int[Array, "C K E"]
    owner: Int[Array, "C K E"]
    counts: Int[Array, "C K W"]
    chunks: Int[Array, ""]
    words: Int[Array, ""]
    """Words of the corpus in the span, before subsampling."""

    def chunk(self, n: Int[Array, ""] | int) -> SubwordChunk:
        """Chunk n of the batch; n may be known on the device only."""
        return SubwordChunk(*(jax.lax.dynamic_index_in_dim(a, n, keepdims=False) for a in self[:7]))


@dataclasses.dataclass(frozen=True)
class SubwordBatches:
    """The spans of `windows`, laid out by rows."""

    windows: Batches
    table: Rows
    """Which rows each word has."""
    context: bool = False
    """Whether the words around the centres are read (CBOW), or the centres."""

    @property
    def spans(self) -> int:
        """Batches an epoch."""
        return self.windows.spans

    @property
    def margin(self) -> int:
        """Words that are read to each side of a block."""
        return self.windows.window if self.context else 0

    @functools.cached_property
    def places(self) -> int:
        """E, as long as it is enough: by the mean number of rows of a word that stays."""
        kept = self.windows.counts * keep_probability(self.windows.counts, self.windows.subsample)
        mean = np.sum(np.diff(self.table.starts) * kept) / np.sum(kept)
        return int(np.ceil(SLACK * mean * (self.windows.block + 2 * self.margin) / 8)) * 8

    def __call__(self, n: int) -> SubwordBatch:
        """Batch n, as numpy arrays of the same shapes for every n but those that need more."""
        w = self.windows
        ids, left, right, words, random = w.kept(n)
        sizes = np.diff(self.table.starts)[ids]
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        E = self.places
        while (edges := block_edges(before, w.block, self.margin, E)) is None:
            E *= 2
        starts = edges[:-1]
        inside = np.arange(w.block) < np.diff(edges)[:, None]
        noise = draw(random.random_raw(len(starts) * w.shared_negatives), w._alias)
        W = w.block + 2 * self.margin
        rows, owner = self._rows(ids, sizes, before, edges, E)
        counts = stretches(sizes.astype(np.int32), starts - self.margin, W, 1)
        arrays = (
            (stretches(ids, starts - w.window, w.block + 2 * w.window), 0),
            (stretches(left, starts, w.block) * inside, 0),
            (stretches(right, starts, w.block) * inside, 0),
            (noise.reshape(-1, w.shared_negatives), 0),
            (rows, 0),
            (owner, W),
            (counts, 1),
        )
        K = w.chunk // w.block
        filled, C = -(-len(starts) // K), -(-w.batch // w.chunk)
        while filled > C:
            C *= 2
        shape = (C, K, -(-K // w.multiple) * w.multiple)
        whole = (chunks(a, fill, *shape) for a, fill in arrays)
        return SubwordBatch(*whole, np.array(filled, np.int32), np.array(words, np.int32))

    def _rows(
        self,
        ids: Int32[np.ndarray, "n"],
        sizes: Int64[np.ndarray, "n"],
        before: Int64[np.ndarray, "n_and_end"],
        edges: Int64[np.ndarray, "b_and_end"],
        E: int,
    ) -> tuple[Int32[np.ndarray, "b {E}"], Int32[np.ndarray, "b {E}"]]:
        """The rows of each block, and their words' places in it."""
        n, starts = len(ids), edges[:-1] - self.margin
        flat = self.table.rows[np.repeat(self.table.starts[ids] - before[:-1], sizes) + np.arange(before[-1])]
        word = np.repeat(np.arange(n, dtype=np.int32), sizes)
        first = before[np.maximum(starts, 0)]
        there = np.arange(E) < (before[np.minimum(edges[1:] + self.margin, n)] - first)[:, None]
        owner = stretches(word, first, E) - starts[:, None].astype(np.int32)
        W = np.int32(self.windows.block + 2 * self.margin)
        return stretches(flat, first, E) * there, np.where(there, owner, W)


def block_edges(
    before: Int64[np.ndarray, "n_and_end"], block: int, margin: int, places: int
) -> Int64[np.ndarray, "b_and_end"] | None:
    """Where blocks begin, and where the last ends: each has `block` centres at most, and the rows of its words, with
    `margin` more to each side, fit in `places`.

    `before` are the rows before each word, then of all. None where a centre has more rows around it than fit.
    """
    n = len(before) - 1
    place = np.arange(n)
    last = np.searchsorted(before, before[np.maximum(place - margin, 0)] + places, side="right") - 1
    ends = np.minimum(place + block, np.where(last == n, n, last - margin))
    if np.any(ends <= place):
        return None
    ends, edges = np.minimum(ends, n).tolist(), [0]
    while edges[-1] < n:
        edges.append(ends[edges[-1]])
    return np.array(edges, np.int64)


def stretches(
    row: Int32[np.ndarray, "n"], starts: Int64[np.ndarray, "b"], size: int, fill: int = 0
) -> Int32[np.ndarray, "b {size}"]:
    """`size` numbers from each start on, `fill` where there are none; a start may be up to `size` below 0."""
    padded = np.pad(row, size, constant_values=fill)
    return np.lib.stride_tricks.sliding_window_view(padded, size)[starts + size]


def chunks(
    rows: Int32[np.ndarray, "b X"], fill: int, number: int, blocks: int, padded: int
) -> Int32[np.ndarray, "{number} {padded} X"]:
    """Rows, one a block, as chunks of `blocks` blocks, padded."""
    out = np.full((number, padded, rows.shape[1]), fill, np.int32)
    whole, rest = divmod(len(rows), blocks)
    out[:whole, :blocks] = rows[: whole * blocks].reshape(whole, blocks, rows.shape[1])
    out[whole : whole + 1, :rest] = rows[whole * blocks :]
    return out
