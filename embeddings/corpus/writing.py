"""Writes a folder of token shards: whole or not at all, in memory that doesn't grow with the corpus."""
import contextlib
import fcntl
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

from embeddings.corpus.documents import Block
from embeddings.corpus.vocabulary import Counter, Numbered, Vocabulary, in_order
from embeddings.problems import Problem

FORMAT = 1
"""Raised when what is written, or how text becomes words, changes: older folders are not found any more."""
SHARD = 64 << 20
"""Ids a shard, about."""
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.tsv"
_LOCK = "lock"
_TOGETHER = 4
"""Blocks whose words are looked up at once, as each look-up starts by hashing the vocabulary."""


@contextlib.contextmanager
def written(folder: Path) -> Iterator[Path]:
    """A new folder beside `folder` that takes its name when the block ends well, and is removed otherwise.

    A process that was killed leaves its folder; it is removed by the next one, which sees that nobody holds its lock.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(".part", f".{folder.name}-", folder.parent))
            stack.callback(shutil.rmtree, part, ignore_errors=True)
            part.chmod(0o755)
            lock = stack.enter_context((part / _LOCK).open("wb"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in folder.parent.glob(".*.part"):
                _remove_if_left(left, os.fstat(lock.fileno()).st_mtime)
            yield part
            (part / _LOCK).unlink()
            _rename(part, folder)
        except BrokenPipeError:  # of the progress, not of a file
            raise
        except OSError as error:
            place, why = error.filename or folder.parent, error.strerror or error
            remedy = "free space there or set EMBEDDINGS_CACHE to another folder"
            raise Problem(f"{place}: cannot be written: {why}; {remedy}") from None


def _rename(part: Path, folder: Path) -> None:
    try:
        part.rename(folder)
    except OSError:
        if not (folder / MANIFEST).exists():
            raise


def _remove_if_left(part: Path, now: float) -> None:
    """Removes a folder that nobody holds any more; a minute old at least, as a new one is not held at once."""
    with contextlib.suppress(OSError), (part / _LOCK).open("rb") as lock:
        if os.fstat(lock.fileno()).st_mtime > now - 60:
            return
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(part, ignore_errors=True)


def spill(stream: Iterable[Numbered], counter: Counter, part: Path) -> list[int]:
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
    starts, replaced = item.starts.astype(np.int32), np.array(item.block.replaced)
    for array in (offsets - offsets[0], text, item.numbers, starts, replaced):
        np.save(file, array, allow_pickle=False)


def spilled(part: Path, read: list[int], progress: Callable[[str, int, int], None] | None) -> Iterator[Numbered]:
    """The numbered blocks on disk; a file is removed when it was read."""
    for number, done in enumerate(read):
        path = part / f"spill-{number:05d}"
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while file.tell() < size:
                offsets, text, numbers, starts, replaced = (np.load(file, allow_pickle=False) for _ in range(5))
                distinct = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
                block = Block(b"", path, int(replaced), done)
                yield Numbered(distinct, numbers, starts.astype(np.int64), block)
        path.unlink()
        if progress:
            progress("numbering the words", done, read[-1])


def write(part: Path, stream: Iterable[Numbered], vocabulary: Vocabulary, workers: int | None) -> None:
    """Shards, vocabulary and manifest into a folder."""
    value_set = pa.array(vocabulary.words, pa.string())

    def identify(together: list[Numbered]) -> list[tuple[np.ndarray, np.ndarray, Numbered]]:
        distinct = pa.concat_arrays([item.distinct for item in together])
        ids = pc.index_in(distinct, value_set).fill_null(-1).to_numpy()
        splits = np.cumsum([len(item.distinct) for item in together])[:-1]
        return [(*_kept(table, item), item) for table, item in zip(np.split(ids, splits), together, strict=True)]

    stream = iter(stream)
    groups = iter(lambda: list(itertools.islice(stream, _TOGETHER)), [])
    writer = ShardWriter(part)
    words = replaced = 0
    for group in in_order(identify, groups, min(4, workers or 4)):
        for ids, starts, item in group:
            writer.add(ids, starts)
            words += len(item.numbers)
            replaced += item.block.replaced
    shards = writer.close()
    if not words:
        raise Problem("the corpus has no words in it; name another --corpus, or another --text.tokenizer")
    vocabulary.save(part / VOCABULARY)
    finish(part, shards, words, replaced, vocabulary.note)


def finish(part: Path, shards: list[list[int]], words: int, replaced: int, note: str = "") -> None:
    """Writes the manifest, the last file of a folder."""
    manifest = {"format": FORMAT, "shards": shards, "words": words, "replaced": replaced, "note": note}
    with (part / MANIFEST).open("w") as file:
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


class ShardWriter:
    """Appends ids and line starts to shards of about SHARD ids."""

    def __init__(self, part: Path):
        self._part = part
        self._sizes: list[list[int]] = []
        self._files: list[BinaryIO] = []

    def add(self, ids: np.ndarray, starts: np.ndarray) -> None:
        """More ids, and where in them lines start."""
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
        """Puts all on disk; how many ids and lines each shard has."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
            file.close()
        self._files = []
        return self._sizes
