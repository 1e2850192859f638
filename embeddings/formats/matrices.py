"""A matrix of vectors that is written row by row: numpy's .npy, .parquet or .jsonl.

Until it is whole it grows as `NAME.rows`, a .npy whose header does not count its rows yet, with `NAME.rows.json` beside
it, which tells what is in it. After a kill, what that says is there is gone on from, and the rest of the file dropped.

Shapes: n rows, E width.
"""
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32

from embeddings.files import named, write_whole
from embeddings.formats.streams import written
from embeddings.problems import Problem

SUFFIXES = (".npy", ".parquet", ".jsonl")
_ROWS = 4096
"""Rows that are converted at a time."""


class Begun(NamedTuple):
    """What is there of a matrix."""

    rows: int
    width: int
    about: dict[str, Any]
    """What `add` was told last."""


class Growing:
    """A matrix that grows; `close` makes it a file of its own name, and nothing else does."""

    def __init__(self, path: Path):
        """`path` ends in one of SUFFIXES."""
        self.path, self.part = path, path.with_name(path.name + ".rows")
        self.note = self.part.with_name(self.part.name + ".json")
        self._file: Any = None
        self.rows = self.width = 0

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()

    def begun(self) -> Begun | None:
        """What an earlier process has left, and nothing where it left nothing. Raises Problem for what is damaged."""
        if not self.note.is_file():
            return None
        try:
            found = Begun(**json.loads(self.note.read_bytes()))
            size = _start(found.width) + 4 * found.rows * found.width
            if self.part.stat().st_size < size:
                raise ValueError("fewer rows than it says")
        except (OSError, ValueError, TypeError) as error:
            raise Problem(f"{self.note}: cannot be gone on from ({error}): delete it to begin again") from None
        return found

    def go_on(self, begun: Begun) -> None:
        """Rows are added behind those that are there."""
        self._file = self.part.open("r+b")
        self.rows, self.width = begun.rows, begun.width
        self._file.truncate(_start(self.width) + 4 * self.rows * self.width)
        self._file.seek(0, os.SEEK_END)

    def add(self, vectors: Float32[np.ndarray, "n E"], about: Mapping[str, Any]) -> None:
        """Puts rows on disk, and what is said of all rows so far."""
        with named(self.part):
            if self._file is None:
                self._file, self.width = self.part.open("w+b"), vectors.shape[1]
                _header(self._file, 0, self.width)
            self._file.write(np.ascontiguousarray(vectors, "<f4").tobytes())
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows += len(vectors)
        write_whole(self.note, json.dumps({"rows": self.rows, "width": self.width, "about": dict(about)}) + "\n")

    def close(self) -> None:
        """The matrix is whole: it gets its name and format."""
        with named(self.part):
            self._file.seek(0)
            _header(self._file, self.rows, self.width)
            self._file.flush()
            os.fsync(self._file.fileno())
        if self.path.suffix == ".npy":
            self.part.rename(self.path)
        else:
            matrix = np.load(self.part, mmap_mode="r")
            {".parquet": _parquet, ".jsonl": _jsonl}[self.path.suffix](self.path, matrix)
            self.part.unlink()
        self.note.unlink()


def _header(file: io.BufferedIOBase, rows: int, width: int) -> None:
    """numpy leaves room for any number of rows."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (rows, width)})


def _start(width: int) -> int:
    """Bytes of the header."""
    _header(header := io.BytesIO(), 0, width)
    return header.tell()


def _blocks(matrix: Float32[np.ndarray, "n E"]) -> Iterator[tuple[int, np.ndarray]]:
    """First row and rows."""
    for at in range(0, len(matrix), _ROWS):
        yield at, np.asarray(matrix[at : at + _ROWS])


def _jsonl(path: Path, matrix: Float32[np.ndarray, "n E"]) -> None:
    """A record a row: its number, from 0, and the vector, in as many digits as float32 needs."""
    with written(path) as file:
        for at, block in _blocks(matrix):
            for number, row in enumerate(block, at):
                file.write(f'{{"row": {number}, "vector": [{", ".join(map(str, row))}]}}\n'.encode())


def _parquet(path: Path, matrix: Float32[np.ndarray, "n E"]) -> None:
    """Columns `row` and `vector`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("row", pa.int64()), ("vector", pa.list_(pa.float32(), matrix.shape[1]))])
    with written(path) as file, pq.ParquetWriter(file, schema) as writer:
        for at, block in _blocks(matrix):
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(block.ravel()), matrix.shape[1])
            writer.write_table(pa.table([pa.array(range(at, at + len(block))), vectors], schema=schema))
