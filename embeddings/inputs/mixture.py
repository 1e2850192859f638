"""Which examples of several sets a run sees, and in which order: a function of the seed and of the place alone.

Of the first m examples of a run, set d gives floor(m c_d) - floor(m c_(d-1)), c the weights added up, so that its share
is right at every point and what it gives to batch n needs no counting. Each set is gone through in an order of its own,
another one each epoch. Random numbers are raw words of numpy's Philox, the part of its stream that is promised never to
change.
"""
import dataclasses
import functools
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from embeddings.inputs.cooccurrences import permuted


@dataclasses.dataclass(frozen=True, eq=False)
class Mixture:
    """Sets, mixed by weight."""

    sets: tuple[Any, ...]
    """Each of them has a length, and `tokens` in all."""
    weights: tuple[float, ...]
    """How much of a run each gives; they add up to 1."""
    seed: int

    def spans(self, batch: int) -> int:
        """Batches of so many examples in which those of all sets, mixed, come once on the mean."""
        return max(1, -(-sum(map(len, self.sets)) // batch))

    def examples(self, first: int, last: int) -> list[Int64[np.ndarray, "_"]]:
        """Of each set the numbers of its examples that stand from place `first` of a run up to `last`."""
        edges = np.floor(np.array([[first], [last]]) * self._shares + 1e-9).astype(np.int64)
        begins, ends = edges[:, 1:] - edges[:, :-1]
        return [self._order(d, np.arange(a, b)) for d, (a, b) in enumerate(zip(begins, ends, strict=True))]

    @functools.cached_property
    def _shares(self) -> Float[np.ndarray, "sets_and_none"]:
        shares = np.concatenate([[0.0], np.cumsum(self.weights)])
        shares[-1] = 1.0
        return shares

    def _order(self, d: int, places: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
        """Which example of set d stands at some places of its own sequence."""
        size, out = len(self.sets[d]), np.empty(len(places), np.int64)
        epoch = places // size
        for e in np.unique(epoch):
            raw = np.random.Philox(key=np.array([self.seed + (d + 1 << 32), e], np.uint64)).random_raw(2)
            here = epoch == e
            out[here] = permuted(places[here] % size, size, raw)
        return out
