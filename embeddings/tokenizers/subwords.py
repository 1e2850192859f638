"""The character n-grams of a word, hashed into buckets.

Bojanowski, Grave, Joulin, Mikolov (2017), "Enriching Word Vectors with Subword Information", sections 3.2 and 4.1. A
word stands between < and >, which tell beginnings and endings from the middle: of `where`, the n-grams of 3 characters
are <wh, whe, her, ere, re>. An n-gram's bucket is its hash (FNV-1a, 32 bits) modulo the number of buckets.

What the paper leaves open is as in the authors' program, whose files are read with these numbers: characters are those
of UTF-8, and a byte 10xxxxxx belongs to the character before it, wherever it stands; the hash takes bytes as signed,
unlike FNV; a single < or > is no n-gram; n-grams go by their first character, the shorter one first; the end of a line,
</s>, has none.

Shapes: V words, n n-grams of one word, G n-grams of all, U buckets that they use, C characters of all.
"""
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64, UInt32

from embeddings.problems import Problem

END_OF_LINE = b"</s>"
"""What the authors' program writes for the end of a line; the one word without n-grams."""
_OFFSET, _PRIME = 2166136261, 16777619
_PORTION = 65536


class Rows(NamedTuple):
    """A table with a row for each of V words, then one for each bucket that their n-grams use; which rows a word has.

    The other buckets, most of them in a small vocabulary, have no row: no word would ever change it.
    """

    starts: Int64[np.ndarray, "words_and_end"]
    rows: Int32[np.ndarray, "members"]
    """Those of word v are `rows[starts[v]:starts[v + 1]]`: its own, then its n-grams'."""
    buckets: Int64[np.ndarray, "U"]
    """Bucket of row V, V + 1, ..., ascending."""


@dataclasses.dataclass(frozen=True)
class Subwords:
    """N-grams of `minimum` to `maximum` characters, numbered 0 .. `buckets` - 1; there are none where maximum is 0."""

    minimum: int = 3
    maximum: int = 6
    buckets: int = 2_000_000
    used: Int64[np.ndarray, "U"] | None = dataclasses.field(default=None, compare=False, repr=False)
    """The buckets that have a row, ascending, where not all have one: the numbers given are then places in this list,
    and U for any other bucket, the place of a row of zeros that stands after theirs."""

    def __post_init__(self) -> None:
        """Raises Problem for lengths below 0, and where there are n-grams but no buckets, or more than the hash has."""
        if self.minimum < 0 or self.maximum < 0:
            raise Problem(f"n-grams of {self.minimum} to {self.maximum} characters: no length can be below 0")
        if not 0 <= self.buckets < 2**31 or (self.buckets == 0 and self.maximum >= max(self.minimum, 1)):
            raise Problem(f"{self.buckets} buckets for n-grams: a number from 1 to {2**31 - 1} is needed")

    def ngrams(self, word: str | bytes) -> Int64[np.ndarray, "n"]:
        """The buckets of a word's n-grams, in order; an n-gram that stands twice in the word is there twice."""
        return self.table([word])[1]

    def table(self, words: Sequence[str | bytes]) -> tuple[Int64[np.ndarray, "words_and_end"], Int64[np.ndarray, "G"]]:
        """The buckets of all words, one after another: those of word v are `buckets[starts[v]:starts[v + 1]]`."""
        starts, buckets = self._hashed(words)
        if self.used is None or not len(self.used):
            return starts, buckets if self.used is None else np.zeros_like(buckets)
        place = np.minimum(np.searchsorted(self.used, buckets), len(self.used) - 1)
        return starts, np.where(self.used[place] == buckets, place, len(self.used))

    def rows(self, words: Sequence[str | bytes]) -> Rows:
        """The table that these words need."""
        starts, buckets = self._hashed(words)
        used, number = np.unique(buckets, return_inverse=True)
        own = np.arange(len(words))
        rows = np.insert(len(own) + number, starts[:-1], own).astype(np.int32)
        return Rows(starts + np.arange(len(starts)), rows, used)

    def expanded(self, ngrams: Float[np.ndarray, "rows D"]) -> Float[np.ndarray, "buckets D"]:
        """A row for each bucket, zeros for those that are not used, from rows as `ngrams` numbers them."""
        if self.used is None:
            return ngrams
        rows = np.zeros((self.buckets, ngrams.shape[1]), ngrams.dtype)
        rows[self.used] = ngrams[:-1]
        return rows

    def _hashed(
        self, words: Sequence[str | bytes]
    ) -> tuple[Int64[np.ndarray, "words_and_end"], Int64[np.ndarray, "G"]]:
        portions = [self._portion(words[at : at + _PORTION]) for at in range(0, len(words), _PORTION)]
        counts, buckets = zip(*portions, strict=True) if portions else ((), ())
        starts = np.concatenate([np.zeros(1, np.int64), *counts]).cumsum()
        return starts, np.concatenate([np.zeros(0, np.int64), *buckets])

    def _portion(self, words: Sequence[str | bytes]) -> tuple[Int64[np.ndarray, "V"], Int64[np.ndarray, "G"]]:
        """How many n-grams each word has, and the buckets of all."""
        encoded = map(_encoded, words)
        text = [b"" if word == END_OF_LINE else b"<%b>" % word for word in encoded]
        flat = np.frombuffer(b"".join(text), np.uint8)
        characters = np.flatnonzero((flat & 0xC0) != 0x80)
        owner = np.repeat(np.arange(len(words)), [len(word) for word in text])[characters]
        ends = np.append(characters[1:], len(flat))
        signed = flat.view(np.int8).astype(np.int32).view(np.uint32)
        C, longest = len(characters), min(self.maximum, np.bincount(owner, minlength=1).max())
        there, hashes = np.zeros((C, longest), bool), np.zeros((C, longest), np.uint32)
        h = np.full(C, _OFFSET, np.uint32)
        for n in range(1, longest + 1):
            begun = C - n + 1
            h = _taken_on(h[:begun], signed, characters[n - 1 :], ends[n - 1 :])
            hashes[:begun, n - 1] = h
            there[:begun, n - 1] = (owner[:begun] == owner[n - 1 :]) & (n >= self.minimum)
        edge = (np.diff(owner, prepend=-1) != 0) | (np.diff(owner, append=-1) != 0)
        there[edge, :1] = False
        counts = np.bincount(owner, there.sum(axis=1), len(words)).astype(np.int64)
        return counts, (hashes[there] % np.uint32(max(self.buckets, 1))).astype(np.int64)


def _encoded(word: str | bytes) -> bytes:
    """UTF-8; a surrogate that stands for a byte which could not be decoded becomes that byte again."""
    if isinstance(word, bytes):
        return word
    try:
        return word.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return word.encode(errors="surrogatepass")


def _taken_on(
    h: UInt32[np.ndarray, "C"],
    text: UInt32[np.ndarray, "T"],
    start: Int64[np.ndarray, "C"],
    end: Int64[np.ndarray, "C"],
) -> UInt32[np.ndarray, "C"]:
    """Hashes taken on by one more character each, the bytes `text[start:end]`."""
    h = (h ^ text[start]) * np.uint32(_PRIME)
    some, byte = np.flatnonzero(end - start > 1), 1
    while len(some):
        h[some] = (h[some] ^ text[start[some] + byte]) * np.uint32(_PRIME)
        byte += 1
        some = some[end[some] - start[some] > byte]
    return h
