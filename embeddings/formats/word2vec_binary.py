"""The binary format of word2vec: a line `V D`, then each word, a blank, and D little-endian float32.

The C program ends each vector with a newline, gensim does not: newlines before a word do not count.
"""
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from jaxtyping import Float

from embeddings.formats import text
from embeddings.formats.streams import BLOCK, holds_at_most, opened, written
from embeddings.formats.vectors import Vectors, decoded, distinct, finite, utf8
from embeddings.problems import Problem

LONGEST = 1 << 16
"""Bytes a word may have."""


def read(path: Path) -> Vectors:
    """The words and vectors of a binary file, plain or .gz, read in blocks.

    The first vector of a word counts (with a warning RepeatedWord). Raises Problem with the byte where the file is cut
    off, goes on after the last vector, or holds a number that is not finite.
    """
    with opened(path) as handle:
        line = handle.readline(100)
        found = text.HEADER.fullmatch(line)
        count, width = map(int, found.groups()) if found else (0, 0)
        if not count or not width:
            raise Problem(f"{path}: byte 0: expected the number of words and the length of a vector, as in `5000 100`")
        least, most = len(line) + count * (4 * width + 2), holds_at_most(path)
        if least > most:
            raise Problem(f"{path}: byte 0: announces {count:,} vectors of {width:,} numbers, {least:,} bytes at "
                          f"least, but the file can hold {most:,}: it is cut off, or that line is wrong; copy it again")
        rows, words = np.empty((count, width), np.float32), []
        for new_words, new_rows in _blocks(handle, path, count, width, len(line)):
            rows[len(words) : len(words) + len(new_words)] = new_rows
            words += new_words
    strings = decoded(words)
    kept = distinct(strings, path)
    return Vectors(strings, rows) if kept is None else Vectors(tuple(strings[i] for i in kept), rows[kept])


def _blocks(
    handle: BufferedIOBase, path: Path, count: int, width: int, offset: int
) -> Iterator[tuple[list[bytes], Float[np.ndarray, "n D"]]]:
    """Words and vectors by the block; `offset` is where the handle stands."""
    buffer, done, size = b"", 0, 4 * width
    while done < count:
        chunk = handle.read(max(BLOCK, LONGEST + size))
        buffer += chunk
        words, starts, at = _found(buffer, count - done, size)
        if not words and (not chunk or len(buffer) > LONGEST + size):
            wrong = "there is no blank: this is no such file"
            if not chunk:
                wrong = f"the file ends at byte {offset + len(buffer):,}: copy it again"
            raise Problem(f"{path}: byte {offset + at:,}: expected a word, a blank and {size:,} bytes, vector "
                          f"{done + 1:,} of {count:,}, but {wrong}")
        view = memoryview(buffer)
        rows = np.frombuffer(b"".join([view[s : s + size] for s in starts]), "<f4").reshape(-1, width)
        if not np.isfinite(rows).all():
            row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
            raise Problem(f"{path}: byte {offset + starts[row]:,}: the vector of {text.shown(words[row])} has a number "
                          "that is not finite: copy the file again")
        yield words, rows
        done, buffer, offset = done + len(words), buffer[at:], offset + at
    if (buffer + handle.read(100)).strip(b"\r\n"):
        raise Problem(f"{path}: byte {offset:,}: the file goes on after the {count:,} vectors that its first line "
                      "announces: that line is wrong, or this is no such file")


def _found(buffer: bytes, most: int, size: int) -> tuple[list[bytes], list[int], int]:
    """The words that the buffer holds with their whole vectors, where these start, and where the rest does."""
    words: list[bytes] = []
    starts: list[int] = []
    at = 0
    while len(words) < most:
        blank = buffer.find(b" ", at, at + LONGEST)
        if blank < 0 or blank + 1 + size > len(buffer):
            break
        words.append(buffer[at:blank].lstrip(b"\n"))
        starts.append(blank + 1)
        at = blank + 1 + size
    return words, starts, at


def write(path: Path, vectors: Vectors) -> None:
    """Writes words and vectors as word2vec's C program does. Raises Problem as text.write."""
    text.check(vectors, path)
    count, width = vectors.vectors.shape
    at_once = max(1, BLOCK // (4 * width))
    with written(path) as handle:
        handle.write(b"%d %d\n" % (count, width))
        for at in range(0, count, at_once):
            rows, words = np.asarray(vectors.vectors[at : at + at_once], "<f4"), vectors.words[at : at + at_once]
            finite(rows, words)
            content, size = memoryview(rows.tobytes()), 4 * width
            handle.write(b"".join(part for i, word in enumerate(words)
                                  for part in (utf8(word), b" ", content[i * size : (i + 1) * size], b"\n")))
