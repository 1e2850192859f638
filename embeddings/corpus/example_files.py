"""Examples of texts from files: some columns of .jsonl, .csv, .tsv and .parquet, one example a row.

Rows are read a few thousand at a time. What is wrong with one is told with file and row, from 1 (of .csv and .tsv the
line that names the columns does not count).
"""
import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from embeddings.problems import Problem

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
"""What is read, also with .gz behind it but for .parquet."""
FLAG = "--examples.columns and --examples.label"
"""What names the columns."""


class Example(NamedTuple):
    """A row."""

    texts: tuple[str, ...]
    label: Any
    """As it stands there; None where no column is asked for."""


class Broken(NamedTuple):
    """A row that is not as it should be."""

    where: str
    """File and row."""
    what: str
    """What is wrong, and the remedy."""


def read(
    file: Path, columns: tuple[str, ...], label: str = "", header: tuple[str, ...] = ()
) -> Iterator[Example | Broken]:
    """The examples of a file, in order; `header` names the columns of a .tsv whose first line does not.

    Raises Problem where the file or a column is not there, or it is damaged.
    """
    named = (*columns, *((label,) if label else ()))
    for number, row in enumerate(_table(file, named, FLAG, header) if header else rows(file, named), 1):
        where = f"{file}:{number}"
        if isinstance(row, Broken):
            yield row
            continue
        texts = row[: len(columns)]
        wrong = next((name for name, text in zip(columns, texts, strict=True) if not isinstance(text, str)), None)
        empty = next((name for name, text in zip(columns, texts, strict=True) if not str(text).strip()), None)
        if wrong is not None:
            yield Broken(where, f"{wrong} is {type(row[columns.index(wrong)]).__name__}, not text")
        elif empty is not None:
            yield Broken(where, f"{empty} is empty")
        elif label and row[-1] is None:
            yield Broken(where, f"{label} is missing")
        else:
            yield Example(tuple(texts), row[-1] if label else None)


def rows(file: Path, columns: tuple[str, ...], flag: str = FLAG) -> Iterator[tuple | Broken]:
    """These columns of each row, as they stand there. Raises as `read`; `flag` is what names other columns."""
    kind = next((s for s in file.suffixes[-2:] if s in SUFFIXES), None)
    if kind is None:
        raise Problem(f"{file}: examples are read from {', '.join(SUFFIXES)}: convert it, or rename it")
    return {".jsonl": _json, ".parquet": _parquet}.get(kind, _table)(file, columns, flag)


def _opened(file: Path) -> io.TextIOWrapper:
    try:
        raw = file.open("rb")
        return io.TextIOWrapper(
            gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw, encoding="utf-8-sig", newline=""
        )
    except OSError as error:
        raise Problem(f"{file}: cannot be read: {error.strerror or error}") from None


def _json(file: Path, names: tuple[str, ...], flag: str) -> Iterator[tuple | Broken]:
    with _opened(file) as lines:
        for number, line in enumerate(_guarded(file, lines), 1):
            if not line.strip():
                yield Broken(f"{file}:{number}", "an empty line")
                continue
            try:
                record = json.loads(line)
                missing = [name for name in names if name not in record]
            except (ValueError, TypeError) as error:
                yield Broken(f"{file}:{number}", f"not a JSON record ({error})")
                continue
            if missing and number == 1:
                raise Problem(f"{file}:1: no {missing[0]} in the record, which has {', '.join(record)}: name the "
                              f"columns with {flag}")
            yield Broken(f"{file}:{number}", f"no {missing[0]}") if missing else tuple(record[name] for name in names)


def _table(
    file: Path, names: tuple[str, ...], flag: str, header: tuple[str, ...] = ()
) -> Iterator[tuple | Broken]:
    tabs = ".tsv" in file.suffixes
    with _opened(file) as lines:
        guarded = _guarded(file, lines)
        rows = (line.rstrip("\r\n").split("\t") for line in guarded) if tabs else csv.reader(guarded)
        header = list(header) or next(rows, [])
        _known(file, names, header, flag)
        places = [header.index(name) for name in names]
        for number, row in enumerate(rows, 1):
            if len(row) != len(header):
                yield Broken(f"{file}:{number}", f"{len(row)} columns where the first line names {len(header)}")
            else:
                yield tuple(row[place] for place in places)


def _parquet(file: Path, names: tuple[str, ...], flag: str) -> Iterator[tuple]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            _known(file, names, table.schema_arrow.names, flag)
            for batch in table.iter_batches(8192, columns=list(dict.fromkeys(names))):
                yield from zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    except (OSError, pa.ArrowException) as error:
        raise Problem(f"{file}: damaged or no .parquet ({str(error).splitlines()[0]}): copy it again") from None


def _known(file: Path, names: tuple[str, ...], there: list[str], flag: str) -> None:
    for name in names:
        if name not in there:
            raise Problem(f"{file}: no column {name!r}, only {', '.join(there)}: name others with {flag}")


def _guarded(file: Path, lines: Iterator[str]) -> Iterator[str]:
    """The lines; what goes wrong with the file as a Problem."""
    try:
        yield from lines
    except UnicodeDecodeError as error:
        raise Problem(f"{file}: not UTF-8 ({error.reason} at byte {error.start} of a piece): convert it") from None
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise Problem(f"{file}: damaged or cut off ({error}): copy it again") from None
