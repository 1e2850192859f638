"""Texts to be encoded: lines of a file or of standard input, or columns of .jsonl, .csv, .tsv and .parquet.

They are read one after the other, so memory does not grow with the file.
"""
import gzip
import lzma
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from embeddings.corpus import example_files, streams
from embeddings.corpus.example_files import Broken
from embeddings.problems import Problem


class Text(NamedTuple):
    """One text."""

    where: str
    """File and line or row, from 1."""
    text: str


def read(file: Path, columns: tuple[str, ...]) -> Iterator[Text]:
    """The texts of a file, in order; several columns are joined by a blank.

    Of .jsonl, .csv, .tsv and .parquet the columns are read, of any other file, compressed or not, the lines. Raises
    Problem with file and line for what cannot be read, is not UTF-8 or not text.
    """
    if any(suffix in example_files.SUFFIXES for suffix in file.suffixes[-2:]):
        yield from _columns(file, columns)
        return
    try:
        with file.open("rb") as raw:
            yield from lines(streams.decompressed(file, raw), str(file))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno and error.strerror and not isinstance(error, gzip.BadGzipFile):
            raise Problem(f"{file}: cannot be read: {error.strerror}") from None
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise Problem(f"{file}: damaged or cut off ({why}): fetch or write it again") from None


def lines(stream: BufferedIOBase, name: str) -> Iterator[Text]:
    """A text a line. Raises Problem with the line that is not UTF-8."""
    for number, line in enumerate(stream, 1):
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        line = line.removeprefix(streams.BYTE_ORDER_MARK) if number == 1 else line
        try:
            yield Text(f"{name}:{number}", line.decode())
        except UnicodeDecodeError as error:
            raise Problem(f"{name}:{number}: not UTF-8 at byte {error.start} of the line: convert it") from None


def _columns(file: Path, columns: tuple[str, ...]) -> Iterator[Text]:
    for number, row in enumerate(example_files.rows(file, columns, "--field"), 1):
        if isinstance(row, Broken):
            raise Problem(f"{row.where}: {row.what}: mend or remove the row")
        wrong = next((n for n, value in enumerate(row) if not isinstance(value, str)), None)
        if wrong is not None:
            raise Problem(f"{file}:{number}: {columns[wrong]} is {type(row[wrong]).__name__}, not text: mend or remove "
                          "the row, or name another column with --field")
        yield Text(f"{file}:{number}", " ".join(row))
