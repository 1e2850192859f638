"""Batches of examples of texts: batch n is a function of (seed, n) and of nothing else.

An example is one text or several, with a label where a loss needs one. All texts of a batch are packed into rows; where
each has gone is said beside them. Several sets are mixed by weight (mixture.py). A text that has come already in a
batch, in another example, may be left out with its example.

Shapes: N examples, C texts of an example, B rows, T positions, S texts of a row.
"""
import dataclasses
import functools
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32, Int64

from embeddings.corpus.examples import Some
from embeddings.inputs.mixture import Mixture
from embeddings.inputs.packing import laid, pack, slots, usual, widened
from embeddings.inputs.sequences import Tokens


class Labels(NamedTuple):
    """What is known of the examples beside their texts."""

    texts: Int[Array | np.ndarray, "N C"]
    """Numbers of texts within the batch: equal texts have equal ones."""
    label: Float[Array | np.ndarray, "N"]
    """Class, score, or 0 where there is none."""
    weight: Float[Array | np.ndarray, "N"]
    """1; 0 for padding and what is left out."""


class Batch(NamedTuple):
    """N examples."""

    tokens: Tokens
    counted: Int[Array | np.ndarray, "B T"]
    """The number of the text in its row that a token counts for, from 1; 0 where there is none."""
    places: Int[Array | np.ndarray, "N C"]
    """Where each text is: its row times S, and its number there."""
    labels: Labels
    words: Int[Array | np.ndarray, ""]
    """Tokens in it, padding left out: what progress is counted in."""


@runtime_checkable
class Examples(Protocol):
    """A set of examples, each of C texts."""

    columns: int
    """C."""
    tokens: int
    """Tokens of all texts, special ones included."""

    def __len__(self) -> int:
        """How many there are."""

    def read(self, numbers: Int64[np.ndarray, "n"]) -> Some:
        """Some of them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """`batches(n)` is batch n of a run; n goes on counting over epochs, and so does what is drawn."""

    sets: tuple[Examples, ...]
    weights: tuple[float, ...]
    """How much of a batch each set gives; they add up to 1."""
    seed: int
    batch: int
    """N."""
    length: int
    """T."""
    multiple: int = 1
    """B and N are multiples of this: of the devices and chunks that they are split over."""
    twice: bool = False
    """Whether the one text of an example is read twice (SimCSE), with other dropout."""
    distinct: bool = True
    """Whether an example is left out that has a text which came before in the batch."""

    @property
    def spans(self) -> int:
        """Batches in which the examples of all sets, mixed, come once on the mean."""
        return self._mixture.spans(self.batch)

    @functools.cached_property
    def rows(self) -> int:
        """B of most batches."""
        return usual(lambda n: np.diff(self._examples(n).starts), self.batch, self.length, self.multiple)

    @functools.cached_property
    def _mixture(self) -> Mixture:
        return Mixture(self.sets, self.weights, self.seed)

    def __call__(self, n: int) -> Batch:
        """Batch n, as numpy arrays of the same few shapes."""
        ids, types, starts, labels = self._examples(n)
        C = (len(starts) - 1) // len(labels)
        lengths = np.diff(starts)
        packed = pack(lengths, (self.length,))
        B = widened(self.rows, len(packed.lengths), self.multiple)
        tokens = Tokens(*laid(packed, lengths, (B, self.length), ids, types))
        places = (packed.row * slots(self.length) + packed.slot).reshape(-1, C)
        texts = equal(ids, starts).reshape(-1, C)
        weight = np.where(repeated(texts), 0, 1) if self.distinct else np.ones(len(labels))
        return self._padded(tokens, places, Labels(texts, labels, weight), len(ids))

    def _padded(self, tokens: Tokens, places: np.ndarray, labels: Labels, words: int) -> Batch:
        N = -(-self.batch // self.multiple) * self.multiple
        more = (0, N - len(places))
        labels = Labels(
            np.pad(labels.texts, (more, (0, 0)), constant_values=-1).astype(np.int32),
            np.pad(labels.label, more).astype(np.float32),
            np.pad(labels.weight, more).astype(np.float32),
        )
        places = np.pad(places, (more, (0, 0))).astype(np.int32)
        return Batch(tokens, tokens.segments, places, labels, np.array(words, np.int32))

    def _examples(self, n: int) -> Some:
        """The examples of a batch."""
        chosen = self._mixture.examples(n * self.batch, (n + 1) * self.batch)
        read = [some.read(numbers) for some, numbers in zip(self.sets, chosen, strict=True)]
        ids, types, labels = (np.concatenate([getattr(some, name) for some in read])
                              for name in ("ids", "types", "labels"))
        lengths = np.concatenate([np.diff(some.starts) for some in read])
        if self.twice:
            starts = np.concatenate([[0], np.cumsum(lengths)])
            source = np.repeat(starts[:-1], 2)
            lengths = np.repeat(lengths, 2)
            ends = np.cumsum(lengths)
            place = np.repeat(source - ends + lengths, lengths) + np.arange(ends[-1] if len(ends) else 0)
            ids, types = ids[place], types[place]
        return Some(ids, types, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]), labels)


def equal(ids: Int32[np.ndarray, "tokens"], starts: Int64[np.ndarray, "texts_and_end"]) -> Int64[np.ndarray, "texts"]:
    """A number for each text: the first place at which an equal one stands."""
    content, seen = ids.astype("<i4").tobytes(), {}
    spans = zip((4 * starts[:-1]).tolist(), (4 * starts[1:]).tolist(), strict=True)
    return np.array([seen.setdefault(content[a:b], n) for n, (a, b) in enumerate(spans)], np.int64)


def repeated(texts: Int64[np.ndarray, "N C"]) -> Bool[np.ndarray, "N"]:
    """Which examples have a text that stands in an example before it."""
    owner = np.arange(len(texts))[:, None]
    first = np.full(texts.max(initial=0) + 1, len(texts))
    np.minimum.at(first, texts.reshape(-1), np.broadcast_to(owner, texts.shape).reshape(-1))
    return (first[texts] < owner).any(axis=1)
