"""Batches of counted pairs: batch n is a function of (seed, n) and of nothing else.

A batch is a span of the table, which is stored in the order of a hash: a fair sample of it. Each epoch takes the spans
in an order of its own, and so does each batch with the pairs of its span.

Random numbers are raw words of numpy's Philox, the part of its stream that is promised never to change.

Shapes: C chunks, P pairs a chunk, padding among them.
"""
import dataclasses
import math
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32, Int64, UInt64


@runtime_checkable
class Table(Protocol):
    """Counted pairs in a shuffled order."""

    @property
    def entries(self) -> int:
        """How many there are."""

    def read(
        self, start: int, stop: int
    ) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"], Float32[np.ndarray, "n"]]:
        """Words, context words and counts of a span."""


class Chunk(NamedTuple):
    """What one update reads. A padding pair has count 0."""

    word: Int[Array, "P"]
    context: Int[Array, "P"]
    count: Float[Array, "P"]


class Batch(NamedTuple):
    """A span of the table as C chunks, of which the first `chunks` are filled."""

    word: Int[Array, "C P"]
    context: Int[Array, "C P"]
    count: Float[Array, "C P"]
    chunks: Int[Array, ""]
    words: Int[Array, ""]
    """Pairs in it, padding left out: what progress is counted in."""

    def chunk(self, n: Int[Array, ""] | int) -> Chunk:
        """Chunk n of the batch; n may be known on the device only."""
        return Chunk(*(jax.lax.dynamic_index_in_dim(a, n, keepdims=False) for a in self[:3]))


@dataclasses.dataclass(frozen=True)
class Batches:
    """`batches(n)` is batch n of a run; n goes on counting over epochs, and so does what is drawn."""

    table: Table
    seed: int = 0
    batch: int = 65536
    """Pairs a batch."""
    chunk: int = 512
    """Pairs an update."""
    multiple: int = 1
    """Pairs of a chunk are padded to a multiple of this: the number of devices they are split over."""

    @property
    def spans(self) -> int:
        """Batches an epoch; the last span of the table is the shorter."""
        return -(-self.table.entries // self.batch)

    def __call__(self, n: int) -> Batch:
        """Batch n, as numpy arrays of the same shapes for every n."""
        epoch, place = divmod(n, self.spans)
        # Two keys for what is drawn: for the order of spans in an epoch, and for that of pairs in a batch.
        spans = np.random.Philox(key=np.array([self.seed + (1 << 32), epoch], np.uint64)).random_raw(2)
        pairs = np.random.Philox(key=np.array([self.seed, n], np.uint64)).random_raw(2)
        start = int(permuted(np.array([place]), self.spans, spans)[0]) * self.batch
        stop = min(start + self.batch, self.table.entries)
        order = permuted(np.arange(stop - start), stop - start, pairs)
        C, P = -(-self.batch // self.chunk), -(-self.chunk // self.multiple) * self.multiple
        filled = -(-len(order) // self.chunk)

        def lay_out(column: np.ndarray) -> np.ndarray:
            out = np.zeros((C, P), column.dtype)
            whole = np.zeros(filled * self.chunk, column.dtype)
            np.take(column, order, out=whole[: len(order)])
            out[:filled, : self.chunk] = whole.reshape(filled, self.chunk)
            return out

        columns = (lay_out(column) for column in self.table.read(start, stop))
        return Batch(*columns, np.array(filled, np.int32), np.array(len(order), np.int32))


def permuted(
    places: Int64[np.ndarray, "p"], n: int, raw: UInt64[np.ndarray, "2"]
) -> Int64[np.ndarray, "p"]:
    """What stands at some places of a permutation of 0 .. n - 1: a k + b modulo n at place k, with a and b drawn.

    It needs no memory and hardly any time, and is as good as any other where what is permuted stands in random order
    already. a is the first number from a drawn one on that has no divisor in common with n.
    """
    a, b = (int(word) % n for word in raw)
    while math.gcd(a, n) > 1:
        a += 1
    return (places * a + b) % n
