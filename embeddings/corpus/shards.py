"""A corpus as memory-mapped token ids on disk, made once and found again by its content.

A folder of shards is named after the SHA-256 of the corpus's bytes and of the settings. It is written beside its place
and renamed when whole, so several processes may make the same one: the first to finish wins. In it are manifest.json,
vocabulary.tsv and, for each shard, the ids of its words (int32) and where in them its lines start (int32), both little
endian. A line doesn't cross from one shard to the next.
"""
import contextlib
import dataclasses
import functools
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int32

from embeddings import experiment
from embeddings.corpus import documents
from embeddings.corpus.documents import Source
from embeddings.corpus.vocabulary import Counter, Numbered, Vocabulary, in_order, numbered
from embeddings.problems import Problem
from embeddings.tokenizers.words import Words

Progress = Callable[[str, int, int], None]
FORMAT = 1
SHARD = 64 << 20
"""Ids a shard, about."""
_HASHED = 64 << 20
_TOGETHER = 8
_MANIFEST = "manifest.json"
_VOCABULARY = "vocabulary.tsv"


class TokenShards:
    """The ids of a corpus's words and the lines they stand in, read from a folder as they are asked for.

    `tokens` and `lines` count what was kept (a line without a word of the vocabulary isn't counted); `words` counts
    the words read, `replaced` invalid UTF-8 sequences, and `note` says what a reader should know, if anything.
    Raises Problem where the folder is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            manifest = json.loads((folder / _MANIFEST).read_bytes())
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
        return dataclasses.replace(Vocabulary.load(self.folder / _VOCABULARY), note=self.note)

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
    settings = {"vocabulary": dataclasses.asdict(vocabulary_config)}
    folder = cache / f"tokens-{_key(source, words, settings, progress, workers)}"
    if not folder.exists():
        with _written(folder) as part:
            counter = Counter()
            spilled = _spill(numbered(_reported(source, progress), words, workers), counter, part)
            vocabulary = counter.vocabulary(vocabulary_config)
            _write(part, _spilled(part, spilled, progress), vocabulary, workers)
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
    folder = cache / f"tokens-{_key(source, words, {'words': digest}, progress, workers)}"
    if not folder.exists():
        with _written(folder) as part:
            _write(part, numbered(_reported(source, progress), words, workers), vocabulary, workers)
    return TokenShards(folder)


def _key(source: Source, words: Words, settings: dict, progress: Progress | None, workers: int | None) -> str:
    """Names what the ids are made of: the bytes of the files in order, their formats, and all settings."""
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
        "format": FORMAT,
        "content": whole.hexdigest(),
        "files": [["".join(file.suffixes[-2:]), _size(file)] for file in source.files],
        "source": [source.field, source.invalid_utf8, source.kind],
        "words": [words.tokenizer, words.lower],
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


def _reported(source: Source, progress: Progress | None) -> Iterator[documents.Block]:
    """The blocks of a source, telling how far they are."""
    total = sum(_size(file) for file in source.files)
    for block in documents.blocks(source):
        yield block
        if progress:
            progress("reading the corpus", block.read, total)


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its name when the block ends well, and is removed otherwise.

    A process that was killed leaves its folder; it is removed by the next one, which sees that nobody holds its lock.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            for left in folder.parent.glob(".tokens-*.part"):
                _remove_if_left(left)
            part = Path(tempfile.mkdtemp(".part", f".{folder.name}-", folder.parent))
            stack.callback(shutil.rmtree, part, ignore_errors=True)
            lock = stack.enter_context((part / "lock").open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            part.chmod(0o755)
            yield part
            (part / "lock").unlink()
            _rename(part, folder)
        except OSError as error:
            place = f"{error.filename or folder.parent}"
            raise Problem(
                f"{place}: cannot be written: {error.strerror or error}; free space there or choose another cache folder"
            ) from None


def _rename(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not (folder / _MANIFEST).exists():
            raise


def _remove_if_left(part: Path) -> None:
    with contextlib.suppress(OSError), (part / "lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(part, ignore_errors=True)


def _spill(stream: Iterable[Numbered], counter: Counter, part: Path) -> list[int]:
    """Counts numbered blocks and puts them on disk, a few to a file; returns the bytes of text read by then, a file."""
    read = []
    stream = iter(stream)
    while together := list(itertools.islice(stream, _TOGETHER)):
        with (part / f"spill-{len(read):05d}").open("wb") as file:
            for item in together:
                counter.add(item)
                _dump(item, file)
        read.append(together[-1].block.read)
    return read


def _dump(item: Numbered, file: BinaryIO) -> None:
    """One numbered block as arrays; the distinct words as their UTF-8 bytes and offsets."""
    distinct = pa.concat_arrays([item.distinct])
    offsets = np.frombuffer(distinct.buffers()[1], np.int32, len(distinct) + 1, 4 * distinct.offset)
    text = np.frombuffer(distinct.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    for array in (offsets - offsets[0], text, item.numbers, item.starts.astype(np.int32), np.array(item.block.replaced)):
        np.save(file, array, allow_pickle=False)


def _spilled(part: Path, read: list[int], progress: Progress | None) -> Iterator[Numbered]:
    """The numbered blocks on disk; a file is removed when it was read."""
    for number, done in enumerate(read):
        path = part / f"spill-{number:05d}"
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while file.tell() < size:
                offsets, text, numbers, starts, replaced = (np.load(file, allow_pickle=False) for _ in range(5))
                distinct = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
                block = documents.Block(b"", path, int(replaced), done)
                yield Numbered(distinct, numbers, starts.astype(np.int64), block)
        path.unlink()
        if progress:
            progress("numbering the words", done, read[-1])


def _write(part: Path, stream: Iterable[Numbered], vocabulary: Vocabulary, workers: int | None) -> None:
    """Shards, vocabulary and manifest into a folder."""
    value_set = pa.array(vocabulary.words, pa.string())

    def identify(together: list[Numbered]) -> list[tuple[np.ndarray, np.ndarray, Numbered]]:
        distinct = pa.concat_arrays([item.distinct for item in together])
        ids = pc.index_in(distinct, value_set).fill_null(-1).to_numpy()
        splits = np.cumsum([len(item.distinct) for item in together])[:-1]
        return [(*_kept(table, item), item) for table, item in zip(np.split(ids, splits), together, strict=True)]

    stream = iter(stream)
    groups = iter(lambda: list(itertools.islice(stream, _TOGETHER)), [])
    writer = _Writer(part)
    words = replaced = 0
    for group in in_order(identify, groups, workers):
        for ids, starts, item in group:
            writer.add(ids, starts)
            words += len(item.numbers)
            replaced += item.block.replaced
    shards = writer.close()
    if not words:
        raise Problem("the corpus holds no words; look at what --corpus names, and at --text.tokenizer")
    vocabulary.save(part / _VOCABULARY)
    manifest = {"format": FORMAT, "shards": shards, "words": words, "replaced": replaced, "note": vocabulary.note}
    with (part / _MANIFEST).open("w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())


def _kept(table: np.ndarray, item: Numbered) -> tuple[np.ndarray, np.ndarray]:
    """Ids of a block's words without those outside the vocabulary (-1), and where the lines that are left start."""
    ids = table[item.numbers]
    kept = ids >= 0
    before = np.zeros(len(ids) + 1, np.int32)
    np.cumsum(kept, out=before[1:])
    starts = before[item.starts]
    return ids[kept], starts[:-1][np.diff(starts) > 0]


class _Writer:
    """Appends ids and line starts to shards of about SHARD ids."""

    def __init__(self, part: Path):
        self._part = part
        self._sizes: list[list[int]] = []
        self._files: list[BinaryIO] = []

    def add(self, ids: np.ndarray, starts: np.ndarray) -> None:
        if not self._files or self._sizes[-1][0] >= SHARD:
            self.close()
            name = f"-{len(self._sizes):05d}"
            self._files = [(self._part / (kind + name)).open("wb") for kind in ("ids", "lines")]
            self._sizes.append([0, 0])
        tokens, lines = self._sizes[-1]
        self._files[0].write(ids.astype("<i4", copy=False).data)
        self._files[1].write((starts + tokens).astype("<i4", copy=False).data)
        self._sizes[-1] = [tokens + len(ids), lines + len(starts)]

    def close(self) -> list[list[int]]:
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._files = []
        return self._sizes
