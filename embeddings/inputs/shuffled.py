"""A corpus read in pieces, in an order of each epoch's own: what stands together in a file is not learnt together.

Updates that follow one another should be of a fair sample of the text. A file has an order (by date, by subject), the
learning rate falls along it, and a rare word is found in few places of it. Lines are too short to be moved one by one;
pieces of some thousand words, each read as it stands, do as well (experiments/LOG.md).
"""
import dataclasses
import functools
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64


@runtime_checkable
class Tokens(Protocol):
    """A corpus of word numbers in reading order."""

    @property
    def tokens(self) -> int:
        """How many there are."""

    def read(self, start: int, stop: int) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"]]:
        """Word numbers of a span and, for each, a number that differs between lines."""


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """A corpus whose pieces change places."""

    corpus: Tokens
    piece: int
    """Words of a piece; 0 leaves the corpus as it stands. What is left over at its end stays there."""
    seed: int

    def read(
        self, epoch: int, start: int, stop: int
    ) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"]]:
        """Of an epoch's order a span, as Tokens.read; a line ends where a piece does."""
        if not self.piece:
            return self.corpus.read(start, stop)
        P, places = self.piece, order(self.seed, epoch, self.corpus.tokens // self.piece)
        ids, lines, line = [], [], 0
        for place in range(start // P, -(-stop // P)):
            first = P * (int(places[place]) if place < len(places) else place)
            words, numbers = self.corpus.read(first + max(start - P * place, 0), first + min(stop - P * place, P))
            ids.append(words)
            lines.append(numbers - numbers[0] + line)
            line = int(lines[-1][-1]) + 1
        return np.concatenate(ids), np.concatenate(lines)


@functools.lru_cache(maxsize=2)
def order(seed: int, epoch: int, pieces: int) -> Int64[np.ndarray, "pieces"]:
    """Which piece stands at each place in an epoch."""
    # Two keys for what is drawn: batches have those of small seeds. Not by cooccurrences.permuted: its steps are of one
    # length, which may be short, as what it permutes stands in random order already.
    random = np.random.Philox(key=np.array([seed + (1 << 32), epoch], np.uint64))
    return np.argsort(random.random_raw(pieces), kind="stable")
