"""Files of test sets: lines, and records of named fields, each known by the line it stands on."""
import csv
import gzip
import io
import itertools
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from embeddings.problems import Problem

BROKEN = (OSError, EOFError, UnicodeError, zlib.error, lzma.LZMAError)
"""What a file that is missing, damaged or of another encoding fails with."""
STOP_WORDS = Path(__file__).with_name("english_stop_words.txt")


def text(path: Path, what: str, encoding: str = "utf-8") -> str:
    """All of a file, decompressed where it ends in .gz, without a byte order mark.

    Raises Problem, naming the file, where it is no file of `what`.
    """
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return raw.decode(encoding).removeprefix("\ufeff")
    except BROKEN as error:
        raise Problem(f"{path}: no file of {what} ({type(error).__name__}): copy it again") from None


def placed(path: Path, data: Path | None) -> Path:
    """A file from here, or else from the folder of data sets: rows of tables do not know where data are."""
    return data / path if data and not path.is_absolute() and not path.exists() and (data / path).exists() else path


def blocks(path: Path, what: str) -> Iterator[list[tuple[int, str]]]:
    """The lines between blank ones, each with its number from 1: sentences, of which a line is a word."""
    numbered = enumerate(lines(path, what), 1)
    for blank, some in itertools.groupby(numbered, lambda line: not line[1].strip()):
        if not blank:
            yield list(some)


def lines(path: Path, what: str, encoding: str = "utf-8") -> list[str]:
    """The lines of a file, see text(); they end with \\n or \\r\\n and nothing else."""
    return [line.removesuffix("\r") for line in text(path, what, encoding).removesuffix("\n").split("\n")]


def records(path: Path, fields: Sequence[str], what: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The named fields of each record, with its line (of parquet its row, from 1).

    Formats: .csv and .tsv with a header, .jsonl, each also as .gz, and .parquet. Raises Problem, naming file and line,
    where a record lacks a field or has no text there.
    """
    kind = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if kind in (".csv", ".tsv"):
        found = _delimited(path, fields, what, "," if kind == ".csv" else "\t")
    elif kind == ".jsonl":
        found = _json_lines(path, what)
    elif kind == ".parquet":
        found = _parquet(path, fields, what)
    else:
        raise Problem(f"{path}: {what} are read of .csv .tsv .jsonl .parquet: convert it, or correct the name")
    for number, record in found:
        values = tuple(record.get(field) for field in fields)
        for field, value in zip(fields, values, strict=True):
            if not isinstance(value, str):
                raise Problem(f"{path}:{number}: no text in {field!r}: correct the record, or name other fields")
        yield number, values


def _delimited(path: Path, fields: Sequence[str], what: str, delimiter: str) -> Iterator[tuple[int, dict]]:
    rows = csv.DictReader(io.StringIO(text(path, what), newline=""), delimiter=delimiter, strict=True)
    missing = [field for field in fields if field not in (rows.fieldnames or ())]
    if missing:
        raise Problem(f"{path}:1: no column {missing[0]!r}, only {', '.join(rows.fieldnames or ['none'])}")
    try:
        for row in rows:
            if None in row:
                raise Problem(f"{path}:{rows.line_num}: more fields than the header names: correct the line")
            yield rows.line_num, row
    except csv.Error as error:
        raise Problem(f"{path}:{rows.reader.line_num}: {error}: correct the line") from None


def _json_lines(path: Path, what: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(lines(path, what), 1):
        if line.strip():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if not isinstance(record, dict):
                raise Problem(f"{path}:{number}: not a JSON record: correct or remove the line")
            yield number, record


def _parquet(path: Path, fields: Sequence[str], what: str) -> Iterator[tuple[int, dict]]:
    try:
        with pa.parquet.ParquetFile(path, pre_buffer=False) as table:
            missing = [field for field in fields if field not in table.schema_arrow.names]
            if missing:
                raise Problem(f"{path}: no column {missing[0]!r}, only {', '.join(table.schema_arrow.names)}")
            batches = table.iter_batches(columns=list(fields), use_threads=False)
            yield from enumerate((record for batch in batches for record in batch.to_pylist()), 1)
    except (OSError, pa.ArrowException) as error:
        raise Problem(f"{path}: no file of {what} ({type(error).__name__}): copy it again") from None


def stop_words(name: str) -> frozenset[str]:
    """English function words for `english`, none for ``, else the words of a file of that name, one a line."""
    if not name:
        return frozenset()
    path = STOP_WORDS if name == "english" else Path(name)
    try:
        return frozenset(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{path}: no file of words, one a line ({type(error).__name__}): name another") from None
