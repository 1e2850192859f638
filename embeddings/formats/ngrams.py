"""Vectors of words from rows of their n-grams, as fastText makes them (Bojanowski et al. 2017, section 3.2)."""
from collections.abc import Sequence

import numpy as np
import scipy.sparse
from jaxtyping import Float

from embeddings.tokenizers.subwords import Subwords

AT_ONCE = 16384
"""Words whose n-grams are gathered at a time: bounds the memory."""


def composed(
    words: Sequence[str | bytes],
    subwords: Subwords,
    ngrams: Float[np.ndarray, "buckets D"],
    rows: Float[np.ndarray, "V D"] | None = None,
) -> Float[np.ndarray, "V D"]:
    """The mean of the rows of each word's n-grams, and of its own row where `rows` has one, summed in fastText's order.

    Zeros for a word without either. `ngrams` may be memory-mapped: only the rows that are needed are read.
    """
    vectors = np.zeros((len(words), ngrams.shape[1]), np.float32)
    for at in range(0, len(words), AT_ONCE):
        starts, buckets = subwords.table(words[at : at + AT_ONCE])
        different, which = np.unique(buckets, return_inverse=True)
        table = np.asarray(ngrams[different], np.float32)
        if rows is not None:  # each before its n-grams, as fastText adds them
            own = np.arange(len(starts) - 1)
            table = np.concatenate([table, np.asarray(rows[at : at + AT_ONCE], np.float32)])
            which, starts = np.insert(which, starts[:-1], len(different) + own), starts + np.arange(len(starts))
        shape = (len(starts) - 1, len(table))
        sums = scipy.sparse.csr_matrix((np.ones(len(which), np.float32), which, starts), shape) @ table
        vectors[at : at + AT_ONCE] = sums * (1 / np.maximum(np.diff(starts), 1)).astype(np.float32)[:, None]
    return vectors


def without_ngrams(
    words: Sequence[str],
    subwords: Subwords,
    ngrams: Float[np.ndarray, "buckets D"],
    vectors: Float[np.ndarray, "V D"],
) -> Float[np.ndarray, "V D"]:
    """The words' own rows, which `composed` makes these vectors of but for float32's rounding."""
    rows = np.empty(vectors.shape, np.float32)
    for at in range(0, len(words), AT_ONCE):
        some = words[at : at + AT_ONCE]
        counts = np.diff(subwords.table(some)[0]).astype(np.float64)[:, None]
        rows[at : at + AT_ONCE] = (counts + 1) * vectors[at : at + AT_ONCE] - counts * composed(some, subwords, ngrams)
    return rows
