"""A corpus as memory-mapped token ids on disk, made once and found again by its content.

A folder of shards is named after the SHA-256 of the corpus's bytes and of the settings. It is written beside its place
and renamed when whole, so several processes may make the same one: the first to finish wins. In it are manifest.json,
vocabulary.tsv and, for each shard, the ids of its words (int32) and where in them its lines start (int32), both little
endian. A line doesn't cross from one shard to the next.
"""
import contextlib
import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Int32

from embeddings import experiment
from embeddings.corpus import documents, writing
from embeddings.corpus.documents import Source
from embeddings.corpus.vocabulary import Counter, Vocabulary, in_order, numbered
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

Progress = Callable[[str, int, int], None]
_HASHED = 64 << 20
"""Bytes of a file that one thread hashes at a time."""


class TokenShards:
    """The ids of a corpus's words and the lines they stand in, read from a folder as they are asked for.

    `tokens` and `lines` count what was kept (a line without a word of the vocabulary isn't counted); `words` counts
    the words read, `replaced` invalid UTF-8 sequences, and `note` says what a reader should know, if anything.
    Raises Problem where the folder is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            manifest = json.loads((folder / writing.MANIFEST).read_bytes())
            shards = [(int(tokens), int(lines)) for tokens, lines in manifest["shards"]]
            self.words, self.replaced, self.note = manifest["words"], manifest["replaced"], manifest["note"]
            self._ids = [_mapped(folder / f"ids-{n:05d}", tokens) for n, (tokens, _) in enumerate(shards)]
            self._starts = [_mapped(folder / f"lines-{n:05d}", lines) for n, (_, lines) in enumerate(shards)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Problem(f"{folder}: damaged ({error}); delete this folder: it is made again") from None
        self._first = np.cumsum([0] + [tokens for tokens, _ in shards])
        self.tokens = int(self._first[-1])
        self.lines = sum(lines for _, lines in shards)

    @functools.cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that the ids number. Raises Problem where its file is damaged."""
        try:
            return dataclasses.replace(Vocabulary.load(self.folder / writing.VOCABULARY), note=self.note)
        except Problem as problem:
            raise Problem(f"{self.folder}: damaged ({problem}); delete this folder: it is made again") from None

    def read(self, start: int, stop: int) -> tuple[Int32[np.ndarray, "n"], Int32[np.ndarray, "n"]]:
        """Ids of the tokens start <= t < stop, and the line of each, counted from 0 at the first one's.

        Raises IndexError unless 0 <= start <= stop <= tokens.
        """
        if not 0 <= start <= stop <= self.tokens:
            raise IndexError(f"tokens {start} to {stop} of {self.tokens}")
        ids, lines = np.empty(stop - start, np.int32), np.empty(stop - start, np.int32)
        position, line = start, 0
        shard = int(np.searchsorted(self._first, start, "right")) - 1
        while position < stop:
            begin = int(self._first[shard])
            end = min(stop, int(self._first[shard + 1]))
            ids[position - start : end - start] = self._ids[shard][position - begin : end - begin]
            starts = self._starts[shard]
            low, high = np.searchsorted(starts, [position - begin + 1, end - begin]).tolist()
            bounds = np.concatenate([[position - begin], starts[low:high], [end - begin]])
            numbers = np.arange(line, line + len(bounds) - 1, dtype=np.int32)
            lines[position - start : end - start] = np.repeat(numbers, np.diff(bounds))
            position, line, shard = end, line + len(numbers), shard + 1
        return ids, lines


def _mapped(path: Path, size: int) -> np.ndarray:
    """A file of `size` int32, mapped into memory. Raises ValueError where it has another size."""
    if path.stat().st_size != 4 * size:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes where {4 * size} are expected")
    return np.memmap(path, "<i4", "r") if size else np.zeros(0, np.int32)


def prepare(
    source: Source,
    text: experiment.Text,
    vocabulary_config: experiment.Vocabulary,
    cache: Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> tuple[Vocabulary, TokenShards]:
    """The vocabulary of a corpus and its ids, made in one reading of the text, or found in the folder `cache`.

    The text is cut into words once: each block's words, numbered by its own distinct words, wait on disk until the
    vocabulary is known. `progress` is called with what is done, bytes done, bytes in all. Raises Problem for text that
    can't be read, for a vocabulary of under two words, and for a cache that can't be written.
    """
    words = Words(text.tokenizer, text.lower)
    settings = {"words": [words.tokenizer, words.lower], "vocabulary": dataclasses.asdict(vocabulary_config)}
    folder = cache / f"tokens-{key(source, settings, progress, workers)}"
    if not folder.exists():
        with writing.written(folder) as part:
            counter = Counter()
            spilled = writing.spill(numbered(reported(source, progress), words, workers), counter, part)
            vocabulary = counter.vocabulary(vocabulary_config, str(source))
            writing.write(part, writing.spilled(part, spilled, progress), vocabulary, workers)
    shards = TokenShards(folder)
    return shards.vocabulary, shards


def build(
    source: Source,
    words: Words,
    vocabulary: Vocabulary,
    cache: Path,
    workers: int | None = None,
    progress: Progress | None = None,
) -> TokenShards:
    """The ids of a corpus in a given vocabulary, made or found in the folder `cache`; otherwise as prepare."""
    digest = hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()
    settings = {"words": [words.tokenizer, words.lower], "vocabulary": digest}
    folder = cache / f"tokens-{key(source, settings, progress, workers)}"
    if not folder.exists():
        with writing.written(folder) as part:
            writing.write(part, numbered(reported(source, progress), words, workers), vocabulary, workers)
    return TokenShards(folder)


def key(source: Source, settings: dict, progress: Progress | None = None, workers: int | None = None) -> str:
    """Names what ids are made of: the bytes of the files in order, their formats, and all settings."""
    total = sum(_size(file) for file in source.files)
    done = 0

    def digest(piece: tuple[Path, int]) -> tuple[bytes, int]:
        with _reading(piece[0]), piece[0].open("rb") as file:
            file.seek(piece[1])
            content = hashlib.sha256()
            left = _HASHED
            while left and (chunk := file.read(min(left, 1 << 20))):
                content.update(chunk)
                left -= len(chunk)
            return content.digest(), _HASHED - left

    whole = hashlib.sha256()
    pieces = ((file, begin) for file in source.files for begin in range(0, max(1, _size(file)), _HASHED))
    for piece_digest, size in in_order(digest, pieces, workers):
        whole.update(piece_digest)
        done += size
        if progress:
            progress("checking the corpus", done, total)
    described = {
        "format": writing.FORMAT,
        "content": whole.hexdigest(),
        "files": [["".join(file.suffixes[-2:]), _size(file)] for file in source.files],
        "source": [source.field, source.invalid_utf8, source.kind],
        **settings,
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]


def _size(file: Path) -> int:
    with _reading(file):
        return file.stat().st_size


@contextlib.contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Problem(f"{file}: cannot be read: {error.strerror}") from None


def reported(source: Source, progress: Progress | None) -> Iterator[documents.Block]:
    """The blocks of a source, telling how far they are."""
    total = sum(_size(file) for file in source.files)
    for block in documents.blocks(source):
        yield block
        if progress:
            progress("reading the corpus", block.read, total)
