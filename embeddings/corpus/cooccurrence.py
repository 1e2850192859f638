"""How often words stand together: the counts that GloVe is trained on, made once and found again by their content.

X_ij says how often word j stood in the context of word i: up to `window` words before it and, if symmetric, after it,
in the same line; at distance d a pair counts 1/d, or 1. Words outside the vocabulary are gone before distances are
taken. (The authors' `cooccur` counts the same; with `-symmetric 0` its file has the two words the other way round.)

Sums are of whole numbers, 1/d in units of 1 / lcm(1 .. window): they are exact, and the table has the same bytes on any
number of cores. It stands in the order of a hash of (i, j), so that any span of it is a fair sample.
"""
import dataclasses
import hashlib
import json
import math
import os
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int32, Int64

from embeddings.corpus import counting, writing
from embeddings.corpus.counting import ENTRY, Progress
from embeddings.corpus.shards import TokenShards
from embeddings.problems import Problem

FORMAT = 1
"""Raised when what is written changes: older folders are not found any more."""
THREADS = 16
"""At most, so that memory has a bound: 0.3 GB and, at window 15, 0.15 GB a thread."""
_FILE = "entries"
_FINEST = 1 << 28


@dataclasses.dataclass(frozen=True)
class Context:
    """What stands in the context of a word."""

    window: int = 15
    """Words to each side, at most."""
    symmetric: bool = True
    """Whether those after it count too, or only those before it."""
    distance_weighting: bool = True
    """Whether a pair at distance d counts 1/d, or 1."""

    @property
    def unit(self) -> int:
        """What a count of 1 is in whole numbers: lcm(1 .. window), or, beyond window 22, 2^28 and 1/d rounded."""
        return min(math.lcm(*range(1, self.window + 1)), _FINEST) if self.distance_weighting else 1

    def shares(self) -> Int64[np.ndarray, "places"]:
        """What each place of a context counts, in units: from the farthest word before to the farthest after."""
        distance = np.arange(self.window, 0, -1)
        before = np.rint(self.unit / distance).astype(np.int64) if self.distance_weighting else np.ones_like(distance)
        return np.concatenate([before, before[::-1]]) if self.symmetric else before


class Cooccurrences:
    """The entries X_ij > 0, in the order of a hash of (i, j). Raises Problem where the folder is damaged."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.entries = int(json.loads((folder / writing.MANIFEST).read_bytes())["entries"])
            size = (folder / _FILE).stat().st_size
            if size != self.entries * ENTRY.itemsize:
                raise ValueError(f"{_FILE} has {size} bytes where {self.entries * ENTRY.itemsize} are expected")
            self._entries = np.memmap(folder / _FILE, ENTRY, "r") if size else np.zeros(0, ENTRY)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(f"{folder}: damaged ({error}); delete this folder: it is made again") from None

    def read(
        self, start: int, stop: int
    ) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"], Float32[np.ndarray, "n"]]:
        """i, j and X_ij of the entries start <= n < stop."""
        some = np.array(self._entries[start:stop])
        return some["word"], some["context"], some["count"]


def prepare(
    tokens: TokenShards,
    vocabulary: int,
    context: Context,
    cache: Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Cooccurrences:
    """The counts of a numbered corpus of `vocabulary` different words, made or found in the folder `cache`.

    `progress` is called with what is done, how much is done, and how much there is to do. Raises Problem for a cache
    that can't be written and for a damaged folder.
    """
    described = {"format": FORMAT, "tokens": tokens.folder.name, "words": vocabulary, **dataclasses.asdict(context)}
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache / f"cooccurrences-{key}"
    if not folder.exists():
        workers = min(THREADS, workers or os.cpu_count() or 1)
        with writing.written(folder) as part:
            entries = counting.write(
                part / _FILE, tokens, vocabulary, context.shares(), context.window, context.unit, workers,
                progress or (lambda *_: None),
            )
            (part / writing.MANIFEST).write_text(json.dumps({**described, "entries": entries}, indent=1))
    return Cooccurrences(folder)
