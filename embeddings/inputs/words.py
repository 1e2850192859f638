"""Batches of centres, context words and noise words: batch n is a function of (seed, n) and of nothing else.

A batch is a raw span of the corpus, or of its pieces in an epoch's order (inputs/shuffled.py). From it, as the program
of Mikolov et al. (2013) does while it reads:

    keep      a word of relative frequency f stays with probability min(1, (sqrt(f / t) + 1) t / f)
    burst     of the words that stay, one stands at most `burst` times in a stretch of 64 (not in their program: there
              each place sees the update before it; here those of a chunk do not, and a printed table of numbers would
              take one step far too long)
    reach     of a centre, uniform on 1 .. window: the words it is paired with, to each side
    noise     words drawn from counts ^ power

Kept words are laid out in blocks of B consecutive centres with a halo of `window` words to each side, blocks in chunks
(an update each). A centre is paired with the `left` words before it and the `right` words after it: its reach, cut
where its line ends. Padding centres have 0 of both. Windows do not reach over the end of a span.

Random numbers are raw words of numpy's Philox, the part of its stream that is promised never to change.

Shapes: C chunks, K blocks a chunk, B centres a block, R = B + 2 window rows, N noise words a block, V vocabulary.
"""
import dataclasses
import functools
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Int64, UInt32, UInt64

from embeddings.inputs.shuffled import Shuffled, Tokens
from embeddings.problems import UsageProblem

STRETCH = 64
"""Words over which a burst of one word is seen; a power of two."""


@runtime_checkable
class Windows(Protocol):
    """What every update over windows reads, whatever else it does."""

    ids: Int[Array, "K R"]
    """The words of a block: its halo, its B centres, its halo; padding is word 0."""
    left: Int[Array, "K B"]
    """Words before each centre that it is paired with; 0 for padding."""
    right: Int[Array, "K B"]
    """And after it."""


class Chunk(NamedTuple):
    """What one update reads. The words of a block are its halo, its B centres, its halo; padding is word 0."""

    ids: Int[Array, "K R"]
    left: Int[Array, "K B"]
    right: Int[Array, "K B"]
    negatives: Int[Array, "K N"]


class Batch(NamedTuple):
    """A span of the corpus as C chunks, of which the first `chunks` are filled."""

    ids: Int[Array, "C K R"]
    left: Int[Array, "C K B"]
    right: Int[Array, "C K B"]
    negatives: Int[Array, "C K N"]
    chunks: Int[Array, ""]
    words: Int[Array, ""]
    """Words of the corpus in the span, before subsampling."""

    def chunk(self, n: Int[Array, ""] | int) -> Chunk:
        """Chunk n of the batch; n may be known on the device only."""
        return Chunk(*(jax.lax.dynamic_index_in_dim(a, n, keepdims=False) for a in self[:4]))


class Kept(NamedTuple):
    """The words of a span that stay: n centres."""

    ids: Int32[np.ndarray, "n"]
    left: Int32[np.ndarray, "n"]
    """Words before each that it is paired with."""
    right: Int32[np.ndarray, "n"]
    """And after it."""
    words: int
    """Words of the corpus in the span."""
    random: np.random.Philox
    """The rest of the batch's stream."""


@dataclasses.dataclass(frozen=True)
class Batches:
    """`batches(n)` is batch n of a run; n goes on counting over epochs, and so does what is drawn."""

    tokens: Tokens
    counts: Int64[np.ndarray, "V"]
    seed: int = 0
    batch: int = 65536
    window: int = 5
    block: int = 32
    chunk: int = 64
    shared_negatives: int = 64
    subsample: float = 1e-3
    noise_power: float = 0.75
    burst: int = 4
    piece: int = 0
    multiple: int = 1
    """Blocks a chunk are padded to a multiple of this: the number of devices they are split over."""

    def __post_init__(self) -> None:
        """Raises UsageProblem when a chunk is not a whole number of blocks."""
        if self.chunk % self.block:
            raise UsageProblem(
                f"--word2vec.chunk={self.chunk} is not a multiple of --word2vec.block={self.block}: change either"
            )

    @property
    def spans(self) -> int:
        """Batches an epoch; the last one of an epoch is the shorter."""
        return -(-self.tokens.tokens // self.batch)

    @functools.cached_property
    def _keep(self) -> UInt32[np.ndarray, "V"]:
        return (np.ceil(keep_probability(self.counts, self.subsample) * 2.0**32) - 1).astype(np.uint32)

    @functools.cached_property
    def _alias(self) -> UInt64[np.ndarray, "V"]:
        return alias_table(self.counts.astype(np.float64) ** self.noise_power)

    def kept(self, n: int) -> Kept:
        """The words of batch n that stay, their reach, and what there is left to draw from."""
        epoch, place = divmod(n, self.spans)
        start = place * self.batch
        stop = min(start + self.batch, self.tokens.tokens)
        ids, segments = Shuffled(self.tokens, self.piece, self.seed).read(epoch, start, stop)
        random = np.random.Philox(key=np.array([self.seed, n], np.uint64))
        kept = random.random_raw(-(-self.batch // 2)).view(np.uint32)[: len(ids)] <= self._keep[ids]
        ids, segments = ids[kept], segments[kept]
        if self.burst:
            kept = ~crowded(ids, self.burst)
            ids, segments = ids[kept], segments[kept]
        reach = random.random_raw(-(-self.batch // 4)).view(np.uint16)[: len(ids)].astype(np.int32)
        left, right = neighbours((reach * self.window >> 16) + 1, segments)
        return Kept(ids, left, right, stop - start, random)

    def __call__(self, n: int) -> Batch:
        """Batch n, as numpy arrays of the same shapes for every n."""
        ids, left, right, words, random = self.kept(n)
        return self._lay_out(ids, left, right, random, words)

    def _lay_out(
        self,
        ids: Int32[np.ndarray, "n"],
        left: Int32[np.ndarray, "n"],
        right: Int32[np.ndarray, "n"],
        random: np.random.Philox,
        words: int,
    ) -> Batch:
        C, K = -(-self.batch // self.chunk), self.chunk // self.block
        padded = -(-K // self.multiple) * self.multiple
        filled = -(-len(ids) // self.chunk)

        def blocks(row: np.ndarray, halo: int) -> np.ndarray:
            out = np.zeros((C, padded, self.block + 2 * halo), np.int32)
            if filled:
                row = np.pad(row, (halo, filled * self.chunk - len(row) + halo))
                windows = np.lib.stride_tricks.sliding_window_view(row, out.shape[2])[:: self.block]
                out[:filled, :K] = windows.reshape(filled, K, -1)
            return out

        negatives = np.zeros((C, padded, self.shared_negatives), np.int32)
        drawn = draw(random.random_raw(filled * K * self.shared_negatives), self._alias)
        negatives[:filled, :K] = drawn.reshape(filled, K, -1) if filled else 0
        return Batch(
            blocks(ids, self.window),
            blocks(left, 0),
            blocks(right, 0),
            negatives,
            np.array(filled, np.int32),
            np.array(words, np.int32),
        )


def crowded(ids: Int32[np.ndarray, "n"], most: int) -> Bool[np.ndarray, "n"]:
    """Which words have stood `most` times already in their stretch: STRETCH words from a multiple of it on."""
    stretches = -(-len(ids) // STRETCH)
    # A stretch's words in order of number, then place: one that equals the word `most` before it is one too many.
    keys = np.full(stretches * STRETCH, -1, np.int64)
    keys[: len(ids)] = ids
    keys = np.sort((keys * STRETCH).reshape(-1, STRETCH) + np.arange(STRETCH), axis=1)
    words, places = keys >> STRETCH.bit_length() - 1, keys & STRETCH - 1
    too_many = (words[:, most:] == words[:, :-most]) & (words[:, most:] >= 0)
    found = np.zeros((stretches, STRETCH), bool)
    row, column = np.nonzero(too_many)
    found[row, places[row, column + most]] = True
    return found.reshape(-1)[: len(ids)]


def neighbours(
    reach: Int32[np.ndarray, "n"], segments: Int32[np.ndarray, "n"]
) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"]]:
    """How many words before and after each word are in its reach and on its line."""
    place = np.arange(len(reach), dtype=np.int32)
    ends = np.flatnonzero(segments[1:] != segments[:-1]).astype(np.int32) + 1
    starts, ends = np.append(np.int32(0), ends), np.append(ends, np.int32(len(reach)))
    length = ends - starts
    return (
        np.minimum(reach, place - np.repeat(starts, length)),
        np.minimum(reach, np.repeat(ends, length) - 1 - place),
    )


def keep_probability(counts: Int64[np.ndarray, "V"], subsample: float) -> Float[np.ndarray, "V"]:
    """Probability of a word to stay: min(1, (sqrt(f / t) + 1) t / f), f its share of all counts, t = subsample.

    This is what the authors' program computes; the paper's eq. 5, sqrt(t / f), keeps somewhat less. t = 0 keeps all.
    """
    if subsample <= 0:
        return np.ones(len(counts))
    ratio = np.maximum(counts, 1) / (subsample * np.sum(counts))
    return np.minimum(1.0, (np.sqrt(ratio) + 1) / ratio)


def alias_table(weights: Float[np.ndarray, "V"]) -> UInt64[np.ndarray, "V"]:
    """Walker's alias table: an entry holds the share of its bucket that is its own, and who has the rest.

    The share, times 2^32, is the high half of an entry; the number of the other word is the low half. Buckets are
    filled in order (Vose 1991), which cumulative sums of what light words lack and of what heavy words have in excess
    say at once: light word i is topped up by the first heavy word whose excess is not used up before i, and a heavy
    word that gave too much is topped up by the next one.
    """
    p = weights * (len(weights) / np.sum(weights))
    light, heavy = np.flatnonzero(p < 1), np.flatnonzero(p >= 1)
    own, other = np.ones(len(p)), np.arange(len(p))
    if len(light) and len(heavy):
        lack, excess = np.cumsum(1 - p[light]), np.cumsum(p[heavy] - 1)
        giver = np.searchsorted(excess, np.concatenate([[0.0], lack[:-1]]), side="right")
        own[light], other[light] = p[light], heavy[np.minimum(giver, len(heavy) - 1)]
        last = np.searchsorted(lack, excess[:-1])
        own[heavy[:-1]] = 1 - (lack[np.minimum(last, len(lack) - 1)] - excess[:-1])
        other[heavy[:-1]] = heavy[1:]
    share = np.clip(own * 2.0**32, 0, 2.0**32 - 1).astype(np.uint64)
    return share << np.uint64(32) | other.astype(np.uint64)


def draw(raw: UInt64[np.ndarray, "n"], table: UInt64[np.ndarray, "V"]) -> Int32[np.ndarray, "n"]:
    """One word for each 64 random bits: the high half chooses the bucket, the low half whose share of it."""
    half, low = np.uint64(32), np.uint64(0xFFFFFFFF)
    bucket = (raw >> half) * np.uint64(len(table)) >> half
    entry = table[bucket]
    return np.where(raw & low < entry >> half, bucket, entry & low).astype(np.int32)
