"""Files in blocks: read plain or from .gz, written whole or not at all."""
import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

from embeddings.files import named
from embeddings.problems import Problem

BLOCK = 1 << 23
"""Bytes read at a time."""
LONGEST = 1 << 24
"""Bytes a line may have."""
GZIP = b"\x1f\x8b"
DEFLATE = 1032
"""Bytes that a byte of a .gz file stands for at most."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedIOBase]:
    """A file to read from its start, unpacked where its content is gzip.

    Raises Problem where it is not there, is a folder, may not be read, or turns out damaged or cut off under way.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(len(GZIP)) == GZIP
            plain.seek(0)
            with gzip.GzipFile(fileobj=plain) if packed else contextlib.nullcontext(plain) as handle:
                try:
                    yield handle
                except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                    what = "cut off" if isinstance(error, EOFError) else f"damaged ({error})"
                    raise Problem(f"{path}: byte {plain.tell():,}: the .gz file is {what}; copy it again") from None
    except FileNotFoundError:
        raise Problem(f"{path}: no such file") from None
    except IsADirectoryError:
        raise Problem(f"{path}: is a folder; name a file of vectors in it") from None
    except PermissionError:
        raise Problem(f"{path}: may not be read: have it made readable") from None


def holds_at_most(path: Path) -> int:
    """Bytes that a file can have once unpacked: what a header may claim."""
    with path.open("rb") as plain:
        packed = plain.read(len(GZIP)) == GZIP
    return path.stat().st_size * (DEFLATE if packed else 1)


def line_blocks(handle: BufferedIOBase, path: Path, number: int = 1) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about BLOCK bytes at a time, each ended by a newline, and the number of the first of them.

    Empty lines at the end of the file are left out. Raises Problem where a line has more than LONGEST bytes.
    """
    rest = b""
    while chunk := handle.read(BLOCK):
        rest += chunk
        end = rest.rfind(b"\n") + 1
        if end and rest[end - 2 : end] != b"\n\n":  # those at the end of the file are seen once more is read
            yield number, rest[:end]
            number += rest.count(b"\n", 0, end)
            rest = rest[end:]
        if len(rest) > LONGEST:
            raise Problem(f"{path}:{number}: a line of more than {LONGEST:,} bytes: this is no text file of vectors")
    rest = rest.rstrip(b"\r\n")
    if rest:
        yield number, rest + b"\n"


@contextlib.contextmanager
def written(path: Path) -> Iterator[BufferedIOBase]:
    """A file to write, gzip where its name ends in .gz; it stands under its name when the block ends well, else not."""
    part = path.with_name(path.name + ".part")
    try:
        with named(path), part.open("wb") as plain:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=plain, mtime=0) as packed:
                    yield packed
            else:
                yield plain
            plain.flush()
            os.fsync(plain.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
