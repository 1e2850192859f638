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
from jaxtyping import Array, Int, Int64

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
    def room(self) -> int:
        """Turns that a block has room for, S E."""
        return -(-max(self.windows.block * ROOM, self.huffman.longest, SHORTEST) // SLAB) * SLAB

    @property
    def shape(self) -> tuple[int, int, int]:
        """C, blocks of a chunk that may be filled, and K: there is room for spans of nothing but long paths."""
        w = self.windows
        fewest = min(w.block, self.room // max(self.huffman.longest, SHORTEST))
        K = w.chunk // w.block
        return -(-w.batch // (fewest * K)), K, -(-K // w.multiple) * w.multiple

    def __call__(self, n: int) -> PathBatch:
        """Batch n, as numpy arrays of the same shapes for every n."""
        kept = self.windows.kept(n)
        B, W = self.windows.block, self.windows.window
        paths = self.huffman.paths(kept.ids)
        below = paths >> 1 >= self.huffman.top
        length = np.sum(below, axis=1)
        exits = paths[np.arange(len(paths)), length]
        below[kept.left + kept.right == 0] = False
        ends = np.append(0, np.cumsum(np.maximum(np.sum(below, axis=1), SHORTEST)))
        edges = blocks(ends, B, self.room)
        block = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
        place = np.arange(len(block)) - edges[block]
        # Whose turn is the first of each slab; the rows beside the last slabs start early enough to end in the block.
        firsts = np.searchsorted(ends, ends[edges[:-1], None] + np.arange(0, self.room, SLAB), side="right") - 1
        starts = np.minimum(firsts - edges[:-1, None], max(B - SPAN, 0))
        centre, step = np.nonzero(below)
        to = block[centre], ends[centre] - ends[edges[block[centre]]] + step
        centres = place[centre] - starts[to[0], to[1] // SLAB]
        halo = np.pad(kept.ids, (W, B + W))
        windows = np.lib.stride_tricks.sliding_window_view(halo, B + 2 * W)[edges[:-1]]
        whole = np.arange(len(edges) - 1), slice(None)
        arrays = [self._put(whole, windows)]
        arrays += [self._put((block, place), a, B) for a in (kept.left, kept.right, exits)]
        arrays += [self._put(whole, starts)]
        of_turns = (paths[centre, step], centres, kept.left[centre], kept.right[centre])
        arrays += [self._put(to, a, self.room).reshape(*arrays[0].shape[:2], -1, SLAB) for a in of_turns]
        filled = -(-(len(edges) - 1) // self.shape[1])
        return PathBatch(*arrays, np.array(filled, np.int32), np.array(kept.words, np.int32))

    def _put(self, to: tuple, values: np.ndarray, size: int | None = None) -> np.ndarray:
        """`[C, K, size]` with values at (number of the block, place in it)."""
        C, filled, K = self.shape
        out = np.zeros((C, K, size or values.shape[1]), np.int32)
        out[to[0] // filled, to[0] % filled, to[1]] = values
        return out


def blocks(ends: Int64[np.ndarray, "centres_and_one"], most: int, room: int) -> Int64[np.ndarray, "blocks_and_one"]:
    """Where blocks begin, and where the last ends: at most `most` centres, whose turns end before there is no room."""
    edges, last = [0], len(ends) - 1
    while edges[-1] < last:
        here = edges[-1]
        edges.append(min(int(np.searchsorted(ends, ends[here] + room, side="right")) - 1, here + most, last))
    return np.array(edges, np.int64)
