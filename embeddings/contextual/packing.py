"""Texts packed into rows of few lengths, so that few programs are compiled and little is padding.

Rows of one length are dealt to calls of a fixed number of tokens.

Shapes: n texts, N tokens of all, B rows of a call, T tokens of a row, S texts of a row at most.
"""
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from embeddings.inputs.packing import pack, slots
from embeddings.inputs.sequences import Tokens

ALONE = (16, 32)
"""Tokens of a row that is the only one, where a tier is too long: for questions one by one."""


class Call(NamedTuple):
    """What one call of a model reads."""

    tokens: Tokens
    counted: Int32[np.ndarray, "B T"]
    """Segment of each token that counts where a text's tokens become one vector; 0 for those that do not."""
    texts: Int64[np.ndarray, "B S"]
    """Number of the text that is segment s + 1 of a row; -1 where there is none."""


@dataclasses.dataclass(frozen=True)
class Packer:
    """How texts become calls."""

    tiers: tuple[int, ...]
    """Lengths of rows, ascending; the last is the longest text's."""
    tokens: int = 1024
    """Tokens of a call."""
    multiple: int = 1
    """Rows of a call are a multiple of this: the number of devices that they are split over."""

    @classmethod
    def of(cls, longest: int, tokens: int = 1024, multiple: int = 1) -> "Packer":
        """For texts of `longest` tokens at most: rows of 64, 128, 256, ... tokens, the last as long as needed."""
        tiers = [64]
        while tiers[-1] < longest:
            tiers.append(2 * tiers[-1])
        return cls((*(tier for tier in tiers if tier < longest), longest), tokens, multiple)

    def rows(self, length: int) -> int:
        """B of calls with rows of a length."""
        return -(-max(1, self.tokens // length) // self.multiple) * self.multiple

    def _alone(self, lengths: Int64[np.ndarray, "n"]) -> int:
        """T of the only row: as short as its texts allow, since nothing else fills it up."""
        return min(T for T in (*ALONE, *self.tiers) if lengths.sum() <= T and slots(T) >= len(lengths))

    def calls(
        self,
        ids: Int32[np.ndarray, "N"],
        types: Int32[np.ndarray, "N"],
        starts: Int64[np.ndarray, "n_and_end"],
        skipped: Int64[np.ndarray, "n"] | None = None,
    ) -> Iterator[Call]:
        """The texts as calls, those with the longest rows first; a single row is a call of its own, without padding.

        `skipped` says how many of a text's first tokens do not count in its vector.
        """
        lengths = np.diff(starts)
        packed = pack(lengths, self.tiers)
        if len(packed.lengths) == 1:
            return (yield _laid_out((self.multiple, self._alone(lengths)), np.arange(len(lengths)), *packed[:3], ids,
                                    types, starts, skipped))
        for tier in self.tiers[::-1]:
            rows = np.flatnonzero(packed.lengths == tier)
            B = self.rows(tier)
            for first in range(0, len(rows), B):
                number = np.full(len(packed.lengths), -1)
                some = rows[first : first + B]
                number[some] = np.arange(len(some))
                texts = np.flatnonzero(number[packed.row] >= 0)
                where = number[packed.row[texts]], packed.start[texts], packed.slot[texts]
                yield _laid_out((B, tier), texts, *where, ids, types, starts, skipped)


def _laid_out(
    shape: tuple[int, int],
    texts: Int64[np.ndarray, "some"],
    rows: Int64[np.ndarray, "some"],
    begins: Int64[np.ndarray, "some"],
    slot: Int64[np.ndarray, "some"],
    ids: Int32[np.ndarray, "N"],
    types: Int32[np.ndarray, "N"],
    starts: Int64[np.ndarray, "n_and_end"],
    skipped: Int64[np.ndarray, "n"] | None,
) -> Call:
    """A call of B x T tokens with some texts, each in its row from its place on."""
    lengths = np.diff(starts)[texts]
    place = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    source = np.repeat(starts[texts], lengths) + place
    segment = np.repeat(slot + 1, lengths)
    counted = segment if skipped is None else np.where(place < np.repeat(skipped[texts], lengths), 0, segment)
    at = np.repeat(rows, lengths), np.repeat(begins, lengths) + place
    arrays = []
    for values in (ids[source], segment, place, types[source], counted):
        array = np.zeros(shape, np.int32)
        array[at] = values
        arrays.append(array)
    there = np.full((shape[0], slots(shape[1])), -1, np.int64)
    there[rows, slot] = texts
    return Call(Tokens(*arrays[:4]), arrays[4], there)
