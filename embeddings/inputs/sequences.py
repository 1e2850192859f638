"""Rows of tokens, and batches of them: batch n is a function of (seed, n) and of nothing else.

A row holds one text or several, one after another (packed). Tokens see each other where their segment is the same. The
rows of an epoch come in an order of its own. For masked language models (Devlin et al. 2019, section 3.1) a share of a
row's words is to be predicted; of these

    80 % are replaced by [MASK]        10 % by a word drawn at random        10 % stay

Random numbers are raw words of numpy's Philox, the part of its stream that is promised never to change.

Shapes: B rows, T positions, P words of a row that are predicted at most.
"""
import dataclasses
import math
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Int64

from embeddings.inputs.cooccurrences import permuted


class Tokens(NamedTuple):
    """B rows of T tokens."""

    ids: Int[Array | np.ndarray, "B T"]
    segments: Int[Array | np.ndarray, "B T"]
    """Which text of its row a token belongs to, from 1; 0 is padding."""
    positions: Int[Array | np.ndarray, "B T"]
    """Place of a token in its text, from 0."""
    types: Int[Array | np.ndarray, "B T"]
    """Which part of its text a token belongs to: 1 for the second of a pair, else 0."""


class Batch(NamedTuple):
    """Rows and what is predicted in them; padding has weight 0."""

    tokens: Tokens
    places: Int[Array | np.ndarray, "B P"]
    """Positions whose states predict."""
    targets: Int[Array | np.ndarray, "B P"]
    """The token that is predicted there."""
    weights: Float[Array | np.ndarray, "B P"]
    """1, or 0 where nothing is predicted."""
    words: Int[Array | np.ndarray, ""]
    """Tokens in it, padding left out: what progress is counted in."""


@runtime_checkable
class Corpus(Protocol):
    """Token ids in reading order."""

    def read(self, start: int, stop: int) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"]]:
        """Ids of a span, and a number that differs between lines."""


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a corpus, each with its special tokens."""

    corpus: Corpus
    rows: Int64[np.ndarray, "rows_and_end"]
    begins: Int64[np.ndarray, "windows"]
    lengths: Int64[np.ndarray, "windows"]
    """as inputs/rows.py has them."""
    length: int
    """T."""
    before: tuple[int, ...] = ()
    """Special tokens at the beginning of each window."""
    after: tuple[int, ...] = ()
    """And at its end."""

    def __len__(self) -> int:
        return len(self.rows) - 1

    def read(self, numbers: Int64[np.ndarray, "B"]) -> Tokens:
        """Some rows."""
        ids, segments, positions, types = (np.zeros((len(numbers), self.length), np.int32) for _ in range(4))
        for row, number in enumerate(numbers.tolist()):
            at = 0
            for segment, window in enumerate(range(int(self.rows[number]), int(self.rows[number + 1])), 1):
                begin, length = int(self.begins[window]), int(self.lengths[window])
                whole = np.concatenate([self.before, self.corpus.read(begin, begin + length)[0], self.after])
                here = slice(at, at + len(whole))
                ids[row, here], segments[row, here], positions[row, here] = whole, segment, np.arange(len(whole))
                at += len(whole)
        return Tokens(ids, segments, positions, types)


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """`batches(n)` is batch n of a run; n goes on counting over epochs, and so does what is drawn."""

    rows: Rows
    seed: int
    batch: int
    """B."""
    vocabulary: int
    """V."""
    mask: int | None = None
    """Id of [MASK]; None predicts every token from those before it."""
    special: frozenset[int] = frozenset()
    """Ids that are never predicted in the place of a mask."""
    share: float = 0.15
    """Of a row's tokens that are predicted."""
    multiple: int = 1
    """Empty rows are added until there are a multiple of this: of the devices and chunks that a batch is split over."""

    @property
    def spans(self) -> int:
        """Batches an epoch; the last one of an epoch has fewer rows."""
        return -(-len(self.rows) // self.batch)

    @property
    def predictions(self) -> int:
        """P."""
        return self.rows.length - 1 if self.mask is None else math.ceil(self.share * self.rows.length)

    def __call__(self, n: int) -> Batch:
        """Batch n, as numpy arrays of the same shapes for every n."""
        epoch, place = divmod(n, self.spans)
        order = np.random.Philox(key=np.array([self.seed + (1 << 32), epoch], np.uint64)).random_raw(2)
        places = np.arange(place * self.batch, min((place + 1) * self.batch, len(self.rows)))
        read = self.rows.read(permuted(places, len(self.rows), order))
        tokens = Tokens(*(np.pad(a, ((0, self.batch - len(places)), (0, 0))) for a in read))
        words = np.array(np.count_nonzero(tokens.segments), np.int32)
        if self.mask is None:
            return self._filled(Batch(tokens, *following(tokens), words))
        random = np.random.Philox(key=np.array([self.seed, n], np.uint64))
        return self._filled(Batch(*self._masked(tokens, random), words))

    def _filled(self, batch: Batch) -> Batch:
        """With empty rows behind: what a batch holds does not depend on what it is split over."""
        more = -self.batch % self.multiple
        tokens, *arrays = batch[:-1]
        tokens, arrays = ([np.pad(a, ((0, more), (0, 0))) for a in some] for some in (tokens, arrays))
        return Batch(Tokens(*tokens), *arrays, batch.words)

    def _masked(
        self, tokens: Tokens, random: np.random.Philox
    ) -> tuple[Tokens, np.ndarray, np.ndarray, np.ndarray]:
        """Tokens with masks in them, and what is predicted there."""
        B, T = tokens.ids.shape
        P = self.predictions
        draws, which, other = (random.random_raw(B * T).reshape(B, T) for _ in range(3))
        there = (tokens.segments > 0) & ~np.isin(tokens.ids, list(self.special))
        number = np.maximum(np.rint(self.share * there.sum(axis=1)), there.any(axis=1)).astype(int)
        ranked = np.argsort(np.where(there, draws, np.uint64(2**64 - 1)), axis=1, kind="stable")[:, :P]
        weights = (np.arange(P) < np.minimum(number, P)[:, None]).astype(np.float32)
        chosen = np.zeros((B, T), bool)
        np.put_along_axis(chosen, ranked, weights > 0, axis=1)
        targets = np.take_along_axis(tokens.ids, ranked, axis=1) * (weights > 0)
        fate = which % np.uint64(10)
        ids = np.where(chosen & (fate < 8), self.mask, tokens.ids)
        ids = np.where(chosen & (fate == 8), other % np.uint64(self.vocabulary), ids).astype(np.int32)
        places = np.where(weights > 0, ranked, 0).astype(np.int32)
        return tokens._replace(ids=ids), places, targets.astype(np.int32), weights


def following(
    tokens: Tokens,
) -> tuple[Int32[np.ndarray, "B P"], Int32[np.ndarray, "B P"], Float[np.ndarray, "B P"]]:
    """What a causal model predicts: at each place but a row's last the next token, where it is of the same text."""
    B, T = tokens.ids.shape
    same: Bool[np.ndarray, "B P"] = (tokens.segments[:, 1:] == tokens.segments[:, :-1]) & (tokens.segments[:, 1:] > 0)
    places = np.broadcast_to(np.arange(T - 1, dtype=np.int32), (B, T - 1))
    return places, np.where(same, tokens.ids[:, 1:], 0).astype(np.int32), same.astype(np.float32)
