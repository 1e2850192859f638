"""Batches in which every centre walks its path down a Huffman tree.

The top of a path is one number, the turn at which it leaves the T first nodes: their scores are a dense product. What
is left of the paths of a block is of very different lengths: it stands one path after another in S slabs of E turns,
each beside the rows of a few consecutive centres. A block ends where it has B centres or no room for the next path.

Shapes: C chunks, K blocks a chunk, B centres a block, R = B + 2 window rows, S slabs a block, E turns a slab.
"""
import dataclasses
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Int, Int32, Int64

from embeddings.inputs.huffman import Huffman
from embeddings.inputs.words import Batches

SLAB = 16
"""Turns a slab, E."""
SHORTEST = 5
"""Turns that a centre takes up at least, so that a slab has few centres."""
ROOM = 8
"""Turns that a block has room for, by centre: somewhat more than running text needs on the mean."""
SPAN = 2 + (SLAB - 2) // SHORTEST
"""Centres that a slab has turns of, at most."""


class PathChunk(NamedTuple):
    """What one update reads. Padding, of centres and of turns, has 0 words before it and after it."""

    ids: Int[Array, "K R"]
    left: Int[Array, "K B"]
    right: Int[Array, "K B"]
    exits: Int[Array, "K B"]
    """The turn at which the path of a centre leaves the top."""
    starts: Int[Array, "K S"]
    """The first of the centres beside a slab."""
    turns: Int[Array, "K S E"]
    centres: Int[Array, "K S E"]
    """Whose path a turn is on, counted from the first of those centres."""
    lefts: Int[Array, "K S E"]
    """That centre's words before it, as `left`."""
    rights: Int[Array, "K S E"]
    """And after it."""


class PathBatch(NamedTuple):
    """A span of the corpus as C chunks, of which the first `chunks` are filled."""

    ids: Int[Array, "C K R"]
    left: Int[Array, "C K B"]
    right: Int[Array, "C K B"]
    exits: Int[Array, "C K B"]
    starts: Int[Array, "C K S"]
    turns: Int[Array, "C K S E"]
    centres: Int[Array, "C K S E"]
    lefts: Int[Array, "C K S E"]
    rights: Int[Array, "C K S E"]
    chunks: Int[Array, ""]
    words: Int[Array, ""]
    """Words of the corpus in the span, before subsampling."""

    def chunk(self, n: Int[Array, ""] | int) -> PathChunk:
        """Chunk n of the batch; n may be known on the device only."""
        return PathChunk(*(jax.lax.dynamic_index_in_dim(a, n, keepdims=False) for a in self[:9]))


@dataclasses.dataclass(frozen=True)
class PathBatches:
    """The spans of `windows`, laid out by paths."""

    windows: Batches
    huffman: Huffman

    @property
    def spans(self) -> int:
        """Batches an epoch."""
        return self.windows.spans

    @property
    def _longest(self) -> int:
        return int(self.huffman.below.length.max())

    @property
    def room(self) -> int:
        """Turns that a block has room for, S E."""
        return -(-max(self.windows.block * ROOM, self._longest, SHORTEST) // SLAB) * SLAB

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, blocks of a chunk that may be filled, and K: there is room for spans of nothing but long paths."""
        w = self.windows
        fewest = min(w.block, self.room // max(self._longest, SHORTEST))
        K = w.chunk // w.block
        return -(-w.batch // (fewest * K)), K, -(-K // w.multiple) * w.multiple

    def __call__(self, n: int) -> PathBatch:
        """Batch n, as numpy arrays of the same shapes for every n."""
        kept, below = self.windows.kept(n), self.huffman.below
        B, W = self.windows.block, self.windows.window
        length = np.where(kept.left + kept.right > 0, below.length[kept.ids], 0)
        ends = np.append(0, np.cumsum(np.maximum(length, SHORTEST)))
        edges = blocks(ends, B, self.room)
        block = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        place = np.arange(len(block)) - edges[block]
        # Whose turn is the first of each slab; the rows beside the last slabs start early enough to end in the block.
        firsts = np.searchsorted(ends, ends[edges[:-1], None] + np.arange(0, self.room, SLAB), side="right") - 1
        starts = np.minimum(firsts - edges[:-1, None], max(B - SPAN, 0))

        def each(of_centres: np.ndarray) -> np.ndarray:
            return np.repeat(of_centres, length)  # for each turn what its centre has

        step = np.arange(length.sum()) - each(np.cumsum(length) - length)
        column = each(ends[:-1] - ends[edges[block]]) + step
        centres = each(place) - starts.reshape(-1)[each(block * starts.shape[1]) + column // SLAB]
        turns = below.turns[each(below.starts[kept.ids]) + step]
        halo = np.pad(kept.ids, (W, B + W))
        windows = np.lib.stride_tricks.sliding_window_view(halo, B + 2 * W)[edges[:-1]]
        C, filled, K = self.shape
        number = np.arange(len(edges) - 1)
        row = number // filled * K + number % filled  # of each block in C K
        arrays = [put(row, windows, C * K)]
        arrays += [put(row[block] * B + place, a, C * K * B) for a in (kept.left, kept.right, below.exits[kept.ids])]
        arrays += [put(row, starts, C * K)]
        to = each(row[block] * self.room) + column
        arrays += [put(to, a, C * K * self.room) for a in (turns, centres, each(kept.left), each(kept.right))]
        shapes = ((-1,),) * 5 + ((self.room // SLAB, SLAB),) * 4
        arrays = [a.reshape(C, K, *shape) for a, shape in zip(arrays, shapes, strict=True)]
        return PathBatch(*arrays, np.array(-(-len(number) // filled), np.int32), np.array(kept.words, np.int32))


def put(places: Int[np.ndarray, "n"], values: Int[np.ndarray, "n ..."], size: int) -> Int32[np.ndarray, "size ..."]:
    """Zeros, but for values in their places."""
    out = np.zeros((size, *values.shape[1:]), np.int32)
    out[places] = values
    return out


def blocks(ends: Int64[np.ndarray, "centres_and_one"], most: int, room: int) -> Int64[np.ndarray, "blocks_and_one"]:
    """Where blocks begin, and where the last ends: at most `most` centres, whose turns end before there is no room."""
    edges, last = [0], len(ends) - 1
    while edges[-1] < last:
        here = edges[-1]
        edges.append(min(int(np.searchsorted(ends, ends[here] + room, side="right")) - 1, here + most, last))
    return np.array(edges, np.int64)
