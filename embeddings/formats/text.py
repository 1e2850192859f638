"""Text files of vectors: a word and its D numbers a line, parted by single blanks.

word2vec and fastText (.vec) write a line `V D` above them, GloVe none. A word may have blanks inside: it is what stands
before the last D fields. Blanks that end a line do not count, as both C programs write one.
"""
import collections
import re
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from pyarrow import csv

from embeddings.formats.streams import holds_at_most, line_blocks, opened, written
from embeddings.formats.vectors import Vectors, decoded, distinct, finite, utf8
from embeddings.problems import Problem

HEADER = re.compile(rb"(\d{1,18}) (\d{1,9})\s*\n?")
"""The line above the vectors."""
_MARK = b"\xef\xbb\xbf"  # pyarrow takes it for a sign of UTF-8 where it begins a block; it is a letter like any other
_BLANK = re.compile(r"[ \t\n\v\f\r]")
_WRITTEN_AT_ONCE = 1 << 20
_SHOWN = 40


def read(path: Path, header: bool) -> Vectors:
    """The words and vectors of a text file, plain or .gz; `header` tells whether the line `V D` stands above them.

    The first vector of a word counts (with a warning RepeatedWord). Raises Problem with file and line where a row has
    another number of numbers than the others, a number is not finite, or the header announces something else.
    """
    with opened(path) as handle:
        count, width = _header(handle, path) if header else (None, None)
        words: list[bytes] = []
        rows = np.empty((0, 0), np.float32)
        for number, block in line_blocks(handle, path, 2 if header else 1):
            width = width or usual_width(block)
            new_words, new_rows = _parsed(block, width, path, number)
            if count is not None and len(words) + len(new_words) > count:
                raise Problem(f"{path}:{count + 2}: the first line announces {count:,} words, here is one more: "
                              "correct that line, or copy the file again")
            if len(words) + len(new_words) > len(rows):
                estimate = path.stat().st_size * len(new_words) // len(block) + len(new_words)
                rows = _grown(rows[: len(words)], count or max(estimate, 2 * len(rows)), width)
            rows[len(words) : len(words) + len(new_words)] = new_rows
            words += new_words
    if not words or count not in (None, len(words)):
        announced = f"the first line announces {count:,} words, the file has" if count else "expected a word, has"
        raise Problem(f"{path}:1: {announced} {len(words):,}: it is cut off, or that line is wrong; copy it again")
    rows, strings = rows[: len(words)], decoded(words)
    kept = distinct(strings, path)
    return Vectors(strings, rows) if kept is None else Vectors(tuple(strings[i] for i in kept), rows[kept])


def _header(handle: BufferedIOBase, path: Path) -> tuple[int, int]:
    """V and D of the first line, of which the file can hold what they announce."""
    line = handle.readline(100)
    found = HEADER.fullmatch(line)
    count, width = map(int, found.groups()) if found else (0, 0)
    if not count or not width:
        raise Problem(f"{path}:1: expected the number of words and the length of a vector, as in `5000 100`")
    least, most = count * (2 * width + 1), holds_at_most(path) + 1  # a letter; a blank and a digit each; a newline
    if least > most:
        raise Problem(f"{path}:1: announces {count:,} vectors of {width:,} numbers, {least:,} bytes at least, but the "
                      f"file can hold {most:,}: it is cut off, or no such file; copy it again")
    return count, width


def _grown(rows: Float[np.ndarray, "n D"], size: int, width: int) -> Float[np.ndarray, "m D2"]:
    """The rows in an array of room for `size`; what is not filled takes no memory."""
    larger = np.empty((size, width), np.float32)
    if len(rows):
        larger[: len(rows)] = rows
    return larger


def usual_width(block: bytes) -> int:
    """D of a file without a header: the most frequent number of fields of its first lines, less the word."""
    fields = collections.Counter(line.rstrip(b" \r").count(b" ") for line in block.split(b"\n", 1000)[:-1][:1000])
    return max(1, fields.most_common(1)[0][0])


def looks_so(head: bytes) -> bool:
    """Whether most of the lines that a file begins with end with a number after a word."""
    lines = [line.rstrip(b" \r").split(b" ") for line in head.rstrip(b"\r\n").split(b"\n")[:100]]
    return 2 * sum(len(fields) > 1 and _numbers(fields[-1:]) is not None for fields in lines) > len(lines)


def _parsed(block: bytes, width: int, path: Path, number: int) -> tuple[list[bytes], Float[np.ndarray, "n D"]]:
    """Words and numbers of whole lines, the first of them `number`; all at once where each is as usual."""
    try:
        words, rows = _by_columns(block, width)
    except pa.ArrowInvalid:
        words, rows = _by_lines(block, width, path, number)
    if not np.isfinite(rows).all():
        row = int(np.flatnonzero(~np.isfinite(rows).all(axis=1))[0])
        raise Problem(f"{path}:{number + row}: the vector of {shown(words[row])} has a number that is not finite: "
                      "remove the line")
    return words, rows


def _by_columns(block: bytes, width: int) -> tuple[list[bytes], Float[np.ndarray, "n D"]]:
    """Raises ArrowInvalid where a line is not one word and D numbers."""
    block = block.replace(b" \n", b"\n")
    lines = block.count(b"\n")
    if block.startswith(_MARK) or b" \n" in block:
        raise pa.ArrowInvalid
    names = ["word", *map(str, range(width))]
    # Memory of Arrow's own: a thread of its pool may let go of it last, even after Python has ended, and then aborts.
    memory = pa.array([block], pa.binary()).buffers()[2]
    table = csv.read_csv(
        pa.BufferReader(memory),
        csv.ReadOptions(column_names=names, block_size=len(block) + 1),
        csv.ParseOptions(delimiter=" ", quote_char=False, double_quote=False, ignore_empty_lines=False),
        csv.ConvertOptions(
            column_types={"word": pa.binary(), **dict.fromkeys(names[1:], pa.float32())},
            null_values=[], check_utf8=False,
        ),
    )
    words = table.column(0).to_pylist()
    if len(words) != lines:
        raise pa.ArrowInvalid
    return words, np.stack([table.column(i).to_numpy() for i in range(1, width + 1)], axis=1)


def _by_lines(block: bytes, width: int, path: Path, number: int) -> tuple[list[bytes], Float[np.ndarray, "n D"]]:
    """Line by line: slower, for words with blanks in them, and to say which line is wrong."""
    words, rows = [], []
    for at, line in enumerate(block.split(b"\n")[:-1], number):
        fields = line.rstrip(b" \r").split(b" ")
        word, row = fields[:-width], _numbers(fields[-width:])
        if not word or not row or (len(word) > 1 and (not word[-1] or _numbers(word[-1:]))):  # too many, or two blanks
            count = next((i for i, field in enumerate(reversed(fields)) if _numbers([field]) is None), len(fields))
            raise Problem(f"{path}:{at}: expected a word and {width} numbers, parted by single blanks, but the line "
                          f"ends with {count} numbers: correct it, or copy the file again")
        words.append(b" ".join(word))
        rows.append(row)
    return words, np.array(rows, np.float32).reshape(-1, width)


def _numbers(fields: list[bytes]) -> list[float] | None:
    """The numbers that the fields stand for; None where one stands for none."""
    try:
        return [float(field) for field in fields] if not any(b"_" in field for field in fields) else None
    except ValueError:
        return None


def shown(word: bytes) -> str:
    """A word for a message: shortened, and without bytes that a terminal cannot show."""
    text = word[:_SHOWN].decode("utf-8", "backslashreplace")
    return repr(text + "..." if len(word) > _SHOWN else text)


def write(path: Path, vectors: Vectors, header: bool) -> None:
    """Writes words and vectors as text, gzip where the name ends in .gz; `header` puts the line `V D` above them.

    Numbers are the shortest ones that read back as the same float32. Raises Problem, with nothing written, for a word
    that is empty or has a blank or a line end inside, and for numbers that are not finite.
    """
    check(vectors, path)
    count, width = vectors.vectors.shape
    with written(path) as handle:
        if header:
            handle.write(b"%d %d\n" % (count, width))
        for at in range(0, count, max(1, _WRITTEN_AT_ONCE // width)):
            handle.write(_lines(vectors, at, min(count, at + max(1, _WRITTEN_AT_ONCE // width))))


def check(vectors: Vectors, path: Path) -> None:
    """Raises Problem for what neither text nor word2vec's binary format can hold."""
    for word in vectors.words:
        if not word or _BLANK.search(word):
            raise Problem(f"{path}: the word {word!r} is empty or has a blank or line end inside, which this format "
                          "cannot hold: choose --format=fasttext_binary")


def _lines(vectors: Vectors, start: int, stop: int) -> bytes:
    """The lines of some rows."""
    rows = np.asarray(vectors.vectors[start:stop], np.float32)
    finite(rows, vectors.words[start:stop])
    numbers = pc.cast(pa.array(rows.ravel()), pa.string()).cast(pa.binary())
    ends = pa.array(np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32))
    joined = pc.binary_join(pa.ListArray.from_arrays(ends, numbers), b" ").to_pylist()
    words = map(utf8, vectors.words[start:stop])
    return b"".join(b"%b %b\n" % pair for pair in zip(words, joined, strict=True))
