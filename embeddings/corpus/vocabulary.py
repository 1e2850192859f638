"""Which words have a vector, and how often each was seen: exact counts in bounded memory, on all cores.

Blocks are cut into words and numbered by their own distinct words in threads; the distinct words of many blocks are
added up at a time. The result doesn't depend on the number of threads.
"""
import collections
import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from embeddings import experiment, files
from embeddings.corpus.documents import Block
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

LIMIT = 20_000_000
"""Distinct words counted at once; beyond it the rarest are forgotten."""
MERGED = 1 << 21
"""Words of blocks, distinct within each, that are added up at once."""
_BYTES_A_WORD = 64
_HEADER = "# words read: "


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Words from the most to the least frequent (ties in order of code points), with their counts.

    `total` counts the words read, those left out too. `note` says what a reader should know about the counts, if
    anything.
    """

    words: tuple[str, ...]
    counts: Int64[np.ndarray, "V"]
    total: int
    note: str = ""

    @functools.cached_property
    def index(self) -> dict[str, int]:
        """The number of each word, its row in the tables."""
        return {word: number for number, word in enumerate(self.words)}

    def save(self, path: Path) -> None:
        """Writes word, tab, count by the line, below a line with the total. Nothing half-written stays."""
        lines = [f"{_HEADER}{self.total}\n"]
        lines += [f"{word}\t{count}\n" for word, count in zip(self.words, self.counts.tolist(), strict=True)]
        files.write_whole(path, "".join(lines))

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what save wrote. Raises Problem naming file and line for anything else."""
        try:
            lines = path.read_bytes().decode().split("\n")
        except OSError as error:
            raise Problem(f"{path}: cannot be read: {error.strerror}") from None
        except UnicodeDecodeError as error:
            raise Problem(f"{path}: not UTF-8 at byte {error.start}; it is no vocabulary of ours") from None
        if not lines[0].startswith(_HEADER) or not _is_number(lines[0].removeprefix(_HEADER)):
            raise Problem(f"{path}:1: not '{_HEADER}NUMBER'; it is no vocabulary of ours")
        if lines.pop():
            raise Problem(f"{path}:{len(lines) + 1}: the last line is cut off; copy the file again")
        seen: dict[str, int] = {}
        for number, line in enumerate(lines[1:], 2):
            word, tab, count = line.partition("\t")
            if not word or not tab or not _is_number(count) or int(count) < 1:
                raise Problem(f"{path}:{number}: not a word, a tab and a count; mend the line")
            if word in seen:
                raise Problem(f"{path}:{number}: the word {word!r} stands there twice; delete one line")
            seen[word] = int(count)
        counts = np.fromiter(seen.values(), np.int64, len(seen))
        if np.any(np.diff(counts) > 0):
            line = int(np.flatnonzero(np.diff(counts) > 0)[0]) + 3
            raise Problem(f"{path}:{line}: a larger count than on the line before; sort the file by count")
        total = int(lines[0].removeprefix(_HEADER))
        if total < counts.sum():
            raise Problem(f"{path}:1: fewer words read than the counts add up to; copy the file again")
        return cls(tuple(seen), counts, total)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


@dataclasses.dataclass(frozen=True)
class Numbered:
    """A block's words: the distinct ones, which of them each word is [n], and where each line starts [lines + 1].

    `block` has no text any more.
    """

    distinct: pa.StringArray
    numbers: np.ndarray
    starts: Int64[np.ndarray, "lines_and_end"]
    block: Block


def numbered(blocks: Iterable[Block], words: Words, workers: int | None = None) -> Iterator[Numbered]:
    """The blocks in words, in the order of the blocks, by `workers` threads (None: one a core)."""

    def number(block: Block) -> Numbered:
        flat, starts = words.lines(block.text)
        encoded = flat.dictionary_encode()
        width = np.uint16 if len(encoded.dictionary) <= 1 << 16 else np.int32
        numbers = encoded.indices.to_numpy().astype(width)
        return Numbered(encoded.dictionary, numbers, starts, dataclasses.replace(block, text=b""))

    return in_order(number, blocks, workers)


def in_order(work: Callable, items: Iterable, workers: int | None = None) -> Iterator:
    """What `work` makes of each item, in order, by threads; at most one item more than threads is under way."""
    workers = workers or os.cpu_count() or 1
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Counter:
    """Counts of words, added block by block.

    When more than `limit` distinct words (or 64 bytes times that) are held, those seen once are forgotten, then those
    seen at most twice, and so on, as word2vec's ReduceVocab does: a word that comes back starts at 0.
    """

    def __init__(self, limit: int = LIMIT):
        self.total = 0
        self.forgotten = 0
        self._limit = limit
        self._held = pa.table({"word": pa.array([], pa.large_string()), "count": pa.array([], pa.int64())})
        self._new: list[pa.Table] = []

    def add(self, block: Numbered) -> None:
        """Adds the words of a block."""
        counts = np.bincount(block.numbers, minlength=len(block.distinct))
        word = block.distinct.cast(pa.large_string())
        self._new.append(pa.table({"word": word, "count": pa.array(counts, pa.int64())}))
        self.total += len(block.numbers)
        if sum(len(table) for table in self._new) > max(MERGED, len(self._held)):
            self._merge()

    def _merge(self) -> None:
        tables = pa.concat_tables([self._held, *self._new])
        self._new = []
        self._held = tables.group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])
        while len(self._held) > self._limit or self._held.nbytes > self._limit * _BYTES_A_WORD:
            self.forgotten += 1
            self._held = self._held.filter(pc.greater(self._held["count"], self.forgotten))

    def vocabulary(self, config: experiment.Vocabulary, corpus: str = "the corpus") -> Vocabulary:
        """The words seen often enough. Raises Problem where these are fewer than two, with the counts there are.

        `corpus` is what a message calls the text.
        """
        self._merge()
        if not self.total:
            raise Problem(f"{corpus}: no words in it; name another --corpus, or another --text.tokenizer")
        kept = self._held.filter(pc.greater_equal(self._held["count"], config.min_count))
        kept = kept.take(pc.sort_indices(kept, [("count", "descending"), ("word", "ascending")]))
        notes = []
        if 0 < config.max_size < len(kept):
            notes.append(f"only the {config.max_size:,} most frequent of {len(kept):,} words have a vector "
                         "(--vocabulary.max_size)")
        kept = kept.slice(0, config.max_size or None)
        if len(kept) < 2:
            raise Problem(_too_few(self._held, self.total, config, corpus))
        if self.forgotten:
            lost = self.forgotten * (self.forgotten + 1) // 2
            notes.append(f"more than {self._limit:,} distinct words, or very long ones: rare ones were forgotten on "
                         f"the way, so that a count may be too low, by {lost} at most")
        return Vocabulary(tuple(kept["word"].to_pylist()), kept["count"].to_numpy(), self.total, "; ".join(notes))


def _too_few(held: pa.Table, total: int, config: experiment.Vocabulary, corpus: str) -> str:
    """Why there are fewer than two words, and what would help."""
    distinct, most = len(held), pc.max(held["count"]).as_py() or 0
    says = f"{corpus}: {total} words, {distinct} distinct, the most frequent {most} times"
    if distinct < 2:
        return f"{says}; a vocabulary needs two distinct words: give more text by --corpus"
    if config.max_size == 1:
        return f"{says}; a vocabulary needs two: raise --vocabulary.max_size=1"
    second = int(np.sort(held["count"].to_numpy())[-2])
    return f"{says}; a vocabulary needs two: lower --vocabulary.min_count={config.min_count} to {second} or less"


def count(
    blocks: Iterable[Block],
    words: Words,
    config: experiment.Vocabulary,
    workers: int | None = None,
    limit: int = LIMIT,
) -> Vocabulary:
    """The vocabulary of a corpus, by `workers` threads (None: one a core).

    Raises Problem where fewer than two words are left, with the counts there are.
    """
    counter = Counter(limit)
    for block in numbered(blocks, words, workers):
        counter.add(block)
    return counter.vocabulary(config)
