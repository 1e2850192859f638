"""Counts pairs of words in memory that doesn't grow with the table of their counts.

1. Each block of the corpus becomes a run on disk: its pairs summed up, row by row in the order of words.
2. Runs are merged some rows at a time, and what comes out is dealt to buckets by a hash of the pair.
3. Each bucket is put in the order of that hash, and written.

Summing up is a product of sparse matrices, by which scipy adds what stands in one column of one row without sorting it,
and lets other threads run. Sums are of whole numbers, so they do not depend on the order in which they are taken: the
bytes that are written are the same on any number of cores.
"""
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int, Int64, Integer, UInt64
from scipy import sparse

from embeddings.corpus.shards import TokenShards
from embeddings.corpus.vocabulary import in_order

BLOCK = 1 << 22
"""Words of the corpus that become one run."""
PART = 1 << 15
"""Centres whose contexts a thread sums up at once."""
MERGED = 1 << 21
"""Entries of runs that a thread merges at once, about."""
BUCKET = 1 << 17
"""Entries that are put in order at once, about."""
ENTRY = np.dtype([("word", "<i4"), ("context", "<i4"), ("count", "<f4")])

Progress = Callable[[str, int, int], None]


def write(
    path: Path,
    tokens: TokenShards,
    vocabulary: int,
    shares: Int64[np.ndarray, "places"],
    reach: int,
    unit: int,
    workers: int,
    progress: Progress,
) -> int:
    """Writes the entries of a corpus to a file, in the order of their hash; returns how many there are.

    A context has `reach` words before the centre, then as many after it where there are 2 reach `shares`; each place
    counts its share of `unit`. What is in between stands on disk beside the file.
    """
    runs = _Runs(path.parent, vocabulary)
    for start in range(0, tokens.tokens, BLOCK):
        runs.add(_block(tokens, vocabulary, shares, reach, start, workers))
        progress("counting pairs", min(start + BLOCK, tokens.tokens), tokens.tokens)
    return _shuffle(_deal(runs, unit, workers, progress), path, workers, progress)


def _grouped(keys: Integer[np.ndarray, "n"], most: int) -> tuple[Int[np.ndarray, "{most}+1"], Int[np.ndarray, "n"]]:
    """Where each key starts in the order of keys, and that order: equal keys as they stood."""
    one_a_row = sparse.csr_array(
        (np.ones(len(keys), np.int8), keys.astype(np.int32, copy=False), np.arange(len(keys) + 1, dtype=np.int32)),
        shape=(len(keys), most),
    ).tocsc()  # a sort by counting
    return one_a_row.indptr, one_a_row.indices


def _summed(rows: sparse.csr_array, which: Int[np.ndarray, "R parts"]) -> sparse.csr_array:
    """The sum of the rows that `which` names, for each of its rows; entries come in no order of columns."""
    R, parts = which.shape
    starts = np.arange(0, R * parts + 1, parts)
    return sparse.csr_array((np.ones(R * parts, np.int64), which.reshape(-1), starts), shape=(R, rows.shape[0])) @ rows


def _block(
    tokens: TokenShards, vocabulary: int, shares: Int64[np.ndarray, "places"], reach: int, start: int, workers: int
) -> Iterator[tuple[int, sparse.csr_array]]:
    """The pairs whose word i is in a block, summed up: some rows at a time, with the number of the first."""
    stop = min(start + BLOCK, tokens.tokens)
    low, high = max(0, start - reach), min(stop + reach, tokens.tokens)
    ids, lines = tokens.read(low, high)
    # Between lines stands a word of no row, `reach` times: no window crosses it.
    place = np.arange(len(ids)) + reach * (lines.astype(np.int64) + 1)
    padded = np.full(place[-1] + reach + 1, vocabulary, np.int32)
    padded[place] = ids
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach)
    centres = slice(start - low, stop - low)
    starts, order = _grouped(ids[centres], vocabulary)
    place = place[centres][order]
    weights = np.tile(shares, min(PART, len(place)))

    def summed(begin: int) -> tuple[int, sparse.csr_array]:
        end = min(begin + PART, len(place))
        first, last = np.searchsorted(starts, begin, "right") - 1, np.searchsorted(starts, end)
        around = [windows[place[begin:end] - reach]]
        if len(shares) > reach:
            around.append(windows[place[begin:end] + 1])
        columns = np.concatenate(around, axis=1).reshape(-1)
        ends = (np.clip(starts[first : last + 1], begin, end) - begin) * len(shares)
        shape = (last - first, vocabulary + 1)
        rows = sparse.csr_array((weights[: len(columns)], columns, ends), shape=shape)
        return int(first), _summed(rows, np.arange(shape[0])[:, None])

    return in_order(summed, range(0, len(place), PART), workers)


class _Runs:
    """Pairs of blocks on disk: a run's columns and sums, and where each row starts in them."""

    def __init__(self, folder: Path, vocabulary: int):
        self._folder, self.vocabulary, self.runs = folder, vocabulary, 0
        self.dealt = folder / "dealt"
        self.sizes = np.zeros(vocabulary, np.int64)
        """Entries of each row, in all runs."""

    def _path(self, kind: str, run: int) -> Path:
        return self._folder / f"{kind}-{run:05d}"

    def add(self, pieces: Iterable[tuple[int, sparse.csr_array]]) -> None:
        """A run of pieces in the order of rows; the last row of one may go on in the next."""
        sizes = np.zeros(self.vocabulary, np.int64)
        with self._path("columns", self.runs).open("wb") as columns, self._path("sums", self.runs).open("wb") as sums:
            for first, piece in pieces:
                sizes[first : first + piece.shape[0]] += np.diff(piece.indptr)
                columns.write(piece.indices.astype(np.int32, copy=False).data)
                sums.write(piece.data.data)
        np.concatenate([[0], np.cumsum(sizes)]).tofile(self._path("starts", self.runs))
        self.sizes += sizes
        self.runs += 1

    def _rows(self, run: int, first: int, last: int) -> sparse.csr_array:
        starts = np.fromfile(self._path("starts", run), np.int64, last - first + 1, offset=8 * first)
        begin, size = int(starts[0]), int(starts[-1] - starts[0])
        columns = np.fromfile(self._path("columns", run), np.int32, size, offset=4 * begin)
        sums = np.fromfile(self._path("sums", run), np.int64, size, offset=8 * begin)
        return sparse.csr_array((sums, columns, starts - begin), shape=(last - first, self.vocabulary + 1))

    def merged(self, first: int, last: int) -> sparse.csr_array:
        """Rows first <= i < last of the sum of all runs."""
        held: list[sparse.csr_array] = []
        for run in range(self.runs):
            held.append(self._rows(run, first, last))
            if run + 1 == self.runs or sum(part.nnz for part in held[1:]) > MERGED:
                which = np.arange(last - first)[:, None] + (last - first) * np.arange(len(held))
                held = [_summed(sparse.vstack(held, format="csr"), which)]
        return held[0]

    def remove(self) -> None:
        """Frees the disk."""
        for run in range(self.runs):
            for kind in ("columns", "sums", "starts"):
                self._path(kind, run).unlink()


@dataclasses.dataclass(frozen=True)
class _Dealt:
    """Entries on disk, dealt to buckets, several times: where the buckets of each time start."""

    path: Path
    starts: Int64[np.ndarray, "times buckets_and_end"]

    def bucket(self, number: int) -> np.ndarray:
        """The entries of a bucket."""
        found = []
        with self.path.open("rb") as file:
            for begin, end in self.starts[:, number : number + 2].tolist():
                if end > begin:
                    file.seek(begin * ENTRY.itemsize)
                    found.append(np.fromfile(file, ENTRY, end - begin))
        return np.concatenate(found) if found else np.zeros(0, ENTRY)


def _deal(runs: _Runs, unit: int, workers: int, progress: Progress) -> _Dealt:
    """The merged runs as entries dealt to buckets; the runs are gone then."""
    ends = np.cumsum(runs.sizes)
    total = int(ends[-1])
    cuts = np.unique(np.searchsorted(ends, np.arange(0, max(1, total), MERGED), "right")).tolist()
    buckets = -(-total // BUCKET) or 1
    ranges = list(zip(cuts, [*cuts[1:], runs.vocabulary], strict=True))

    def dealt(rows: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        merged = runs.merged(*rows)
        kept = merged.indices < runs.vocabulary
        entries = np.empty(np.count_nonzero(kept), ENTRY)
        entries["word"] = np.repeat(np.arange(*rows, dtype=np.int32), np.diff(merged.indptr))[kept]
        entries["context"] = merged.indices[kept]
        entries["count"] = merged.data[kept] / unit
        starts, order = _grouped((mixed(entries) >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32), buckets)
        return starts.astype(np.int64), _taken(entries, order)

    starts, before = [], 0
    with runs.dealt.open("wb") as file:
        for (_, last), (some, entries) in zip(ranges, in_order(dealt, ranges, workers), strict=True):
            file.write(entries.data)
            starts.append(some + before)
            before += len(entries)
            progress("merging counts", int(ends[last - 1]), total)
    runs.remove()
    return _Dealt(runs.dealt, np.stack(starts))


def mixed(entries: np.ndarray) -> UInt64[np.ndarray, "n"]:
    """A hash of (i, j), without collisions: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    x = entries["word"].astype(np.uint64) << np.uint64(32) | entries["context"].astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ x >> np.uint64(shift)) * np.uint64(factor)
    return x ^ x >> np.uint64(31)


def _taken(entries: np.ndarray, order: Int[np.ndarray, "n"]) -> np.ndarray:
    """Entries in another order; as rows of a matrix, since numpy takes records of several fields slowly."""
    return np.take(entries.view(np.int32).reshape(-1, 3), order, axis=0).view(ENTRY).reshape(-1)


def _shuffle(dealt: _Dealt, path: Path, workers: int, progress: Progress) -> int:
    """Writes all entries in the order of their hash, bucket after bucket; returns how many there are."""

    def in_hash_order(number: int) -> np.ndarray:
        entries = dealt.bucket(number)
        return _taken(entries, np.argsort(mixed(entries)))

    buckets = dealt.starts.shape[1] - 1
    written = 0
    with path.open("wb") as file:
        for number, entries in enumerate(in_order(in_hash_order, range(buckets), workers)):
            file.write(entries.data)
            written += len(entries)
            progress("shuffling counts", number + 1, buckets)
        file.flush()
        os.fsync(file.fileno())
    dealt.path.unlink()
    return written
