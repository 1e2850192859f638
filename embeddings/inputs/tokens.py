"""Batches of texts whose tokens have marks: batch n is a function of (seed, n) and of nothing else.

Several sets are mixed by weight (mixture.py), the texts of a batch packed into rows (packing.py). What a mark says is a
matter of the loss; 0 is nothing.

Shapes: B rows, T positions.
"""
import dataclasses
import functools
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Int, Int64

from embeddings.corpus.marked import Marked
from embeddings.inputs.mixture import Mixture
from embeddings.inputs.packing import laid, pack, usual, widened
from embeddings.inputs.sequences import Tokens


class Batch(NamedTuple):
    """Some texts in rows."""

    tokens: Tokens
    marks: Int[Array | np.ndarray, "B T"]
    words: Int[Array | np.ndarray, ""]
    """Tokens in it, padding left out: what progress is counted in."""


@runtime_checkable
class Texts(Protocol):
    """A set of texts."""

    tokens: int
    """Tokens of all texts, special ones included."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, numbers: Int64[np.ndarray, "n"]) -> Marked:
        """Some of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """`batches(n)` is batch n of a run; n goes on counting over epochs, and so does what is drawn."""

    sets: tuple[Texts, ...]
    weights: tuple[float, ...]
    """How much of a batch each set gives; they add up to 1."""
    seed: int
    batch: int
    """Texts of a batch."""
    length: int
    """T: no text is longer."""
    multiple: int = 1
    """B is a multiple of this: of the devices and chunks that it is split over."""

    @property
    def spans(self) -> int:
        """Batches in which the texts of all sets, mixed, come once on the mean."""
        return self._mixture.spans(self.batch)

    @functools.cached_property
    def rows(self) -> int:
        """B of most batches."""
        return usual(lambda n: self._texts(n).lengths, self.batch, self.length, self.multiple)

    @functools.cached_property
    def _mixture(self) -> Mixture:
        return Mixture(self.sets, self.weights, self.seed)

    def __call__(self, n: int) -> Batch:
        """Batch n, as numpy arrays of the same few shapes."""
        ids, types, marks, lengths = self._texts(n)
        packed = pack(lengths, (self.length,))
        shape = widened(self.rows, len(packed.lengths), self.multiple), self.length
        *tokens, marks = laid(packed, lengths, shape, ids, types, marks)
        return Batch(Tokens(*tokens), marks, np.array(len(ids), np.int32))

    def _texts(self, n: int) -> Marked:
        """The texts of a batch."""
        chosen = self._mixture.examples(n * self.batch, (n + 1) * self.batch)
        read = [some.read(numbers) for some, numbers in zip(self.sets, chosen, strict=True)]
        return Marked(*(np.concatenate(parts) for parts in zip(*read, strict=True)))
