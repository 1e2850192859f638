"""Where the windows of a corpus stand in rows of a fixed length: an index on disk, made once and found again.

Lines longer than a row are cut into windows; windows are packed into rows, some thousands at a time in the order of the
corpus, so that the index is the same on any machine and takes no memory to make.
"""
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from embeddings.corpus import writing
from embeddings.inputs.packing import pack
from embeddings.inputs.shuffled import Tokens
from embeddings.problems import Problem

FORMAT = 1
GROUP = 1 << 20
"""Tokens of the corpus whose windows are packed together, about."""
_FILES = ("rows", "begins", "lengths")


class Rows(NamedTuple):
    """The windows of R rows, row after row; those of row r are numbered `rows[r] .. rows[r + 1]`."""

    rows: Int64[np.ndarray, "rows_and_end"]
    begins: Int64[np.ndarray, "windows"]
    """First token of a window in the corpus."""
    lengths: Int64[np.ndarray, "windows"]
    """Tokens of a window."""


def prepare(tokens: Tokens, name: str, length: int, added: int, cache: Path) -> Rows:
    """The rows of a corpus called `name`: `length` tokens each, `added` special ones for each window among them.

    Raises Problem for a cache that cannot be written and for a damaged folder.
    """
    described = {"format": FORMAT, "tokens": name, "length": length, "added": added}
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:32]
    folder = cache / f"rows-{key}"
    if not folder.exists():
        with writing.written(folder) as part:
            _write(part, tokens, length, added)
            (part / writing.MANIFEST).write_text(json.dumps(described, indent=1))
    try:
        return Rows(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in _FILES))
    except (OSError, ValueError) as error:
        raise Problem(f"{folder}: damaged ({error}); delete this folder: it is made again") from None


def _write(part: Path, tokens: Tokens, length: int, added: int) -> None:
    rows, begins, lengths = [np.zeros(1, np.int64)], [], []
    start = last = 0
    while start < tokens.tokens:
        stop = min(start + GROUP, tokens.tokens)
        first, size = windows(tokens.read(start, stop)[1], length - added)
        packed = pack(size + added, (length,))
        order = np.lexsort((packed.slot, packed.row))
        rows.append(last + np.cumsum(np.bincount(packed.row)))
        begins.append(start + first[order])
        lengths.append(size[order])
        start, last = stop, int(rows[-1][-1])
    for name, parts in zip(_FILES, (rows, begins, lengths), strict=True):
        np.save(part / f"{name}.npy", np.concatenate(parts))


def windows(lines: np.ndarray, room: int) -> tuple[Int64[np.ndarray, "w"], Int64[np.ndarray, "w"]]:
    """Begins and lengths of windows of at most `room` tokens; `lines` tells for each token which line it is in."""
    begins = np.flatnonzero(np.diff(lines, prepend=lines[0] - 1))
    length = np.diff(begins, append=len(lines))
    count = -(-length // room)
    owner = np.repeat(np.arange(len(begins)), count)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    first = begins[owner] + number * room
    return first, np.minimum(room, begins[owner] + length[owner] - first)
