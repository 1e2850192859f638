"""Records to lines: the named fields of .jsonl and .parquet, each paragraph of them a line."""
import itertools
import json
import re
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from embeddings.corpus.streams import BYTE_ORDER_MARK, PIECE, cut_at, ended, fill, utf8
from embeddings.problems import Problem

LARGEST = 64 << 20
"""Bytes of the largest .jsonl record that is read."""
_ROWS = 256
_BETWEEN_PARAGRAPHS = re.compile(rb"\n\s*\n")
_SURROGATE = re.compile("[\ud800-\udfff]")


def jsonl(file: Path, stream: BufferedIOBase, field: tuple[str, ...], replace: bool) -> Iterator[tuple[bytes, int]]:
    """Lines by the piece, and how many invalid sequences were replaced; as streams.lines.

    Raises Problem naming file and line where a line is no JSON record or lacks a field of text.
    """
    offset, line, carry = 0, 1, b""
    while True:
        new = fill(stream, PIECE)
        text = carry + new
        if not text:
            return
        cut = text.rfind(b"\n") + 1 if new else len(text)
        if not cut:
            if len(text) > LARGEST:
                raise Problem(f"{file}:{line}: a record of more than {LARGEST >> 20} MB; split it")
            carry = text
            continue
        head, carry = text[:cut], text[cut:]
        valid, replaced = utf8(file, head, offset, replace)
        valid = valid if offset else valid.removeprefix(BYTE_ORDER_MARK)
        fields = _fields_at_once(valid, field)
        if fields is None:  # line by line: it knows which line is wrong, and takes what only Python takes
            fields, more = _fields_by_line(file, valid, line, field, replace)
            replaced += more
        yield from _paragraphs(fields, replaced)
        offset, line = offset + cut, line + head.count(b"\n")


def _fields_at_once(text: bytes, field: tuple[str, ...]) -> list[bytes] | None:
    """The fields of each line's record, in order; None unless every line is a plain record that has them."""
    rows = sum(1 for row in text.split(b"\n") if row.strip())
    if not rows:
        return []
    schema = pa.schema([(name, pa.string()) for name in field])
    parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
    try:
        table = pa.json.read_json(pa.BufferReader(text), read, parse)
    except pa.ArrowInvalid:
        return None
    if table.num_rows != rows or any(column.null_count for column in table.columns):
        return None
    columns = [table[name].cast(pa.binary()).to_pylist() for name in field]
    return list(itertools.chain.from_iterable(zip(*columns, strict=True)))


def _fields_by_line(
    file: Path, text: bytes, first: int, field: tuple[str, ...], replace: bool
) -> tuple[list[bytes], int]:
    """The fields of each line's record, in order, and how many halves of surrogate pairs became U+FFFD."""
    fields, replaced = [], 0
    for number, row in enumerate(text.decode().split("\n"), first):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise Problem(f"{file}:{number}: not a JSON record ({error}); mend or remove the line") from None
        for name in field:
            value = record.get(name) if isinstance(record, dict) else None
            if not isinstance(value, str):
                raise Problem(f"{file}:{number}: {_lack(record, name)}; name the fields of text by --text.field")
            valid, halves = _SURROGATE.subn("\ufffd", value)
            if halves and not replace:
                raise Problem(
                    f"{file}:{number}: half a surrogate pair in {name!r}; mend it, or pass --text.invalid_utf8=replace"
                )
            fields.append(valid.encode())
            replaced += halves
    return fields, replaced


def _lack(record: object, name: str) -> str:
    if not isinstance(record, dict):
        return "not a record of named fields"
    if name not in record:
        return f"no field {name!r}, only {_names(record) or 'none'}"
    return f"field {name!r} is not a string"


def _names(names) -> str:
    return ", ".join(repr(name) for name in itertools.islice(names, 10))


def parquet(file: Path, raw: BufferedIOBase, field: tuple[str, ...], replace: bool) -> Iterator[tuple[bytes, int]]:
    """Lines by the piece, and how many invalid sequences were replaced; a null is an empty text.

    Raises Problem naming the file where it lacks a column of text, and the row where one is not UTF-8.
    """
    table = pa.parquet.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
    for name in field:
        if name not in table.schema_arrow.names:
            raise Problem(
                f"{file}: no column {name!r}, only {_names(table.schema_arrow.names)}; "
                "name the columns of text by --text.field"
            )
        if not _is_text(table.schema_arrow.field(name).type):
            raise Problem(f"{file}: column {name!r} is not a string; name the columns of text by --text.field")
    row = 0
    for batch in table.iter_batches(batch_size=_ROWS, columns=list(field), use_threads=False):
        fields, replaced = [], 0
        for values in zip(*(_as_binary(batch.column(name)) for name in field), strict=True):
            for name, value in zip(field, values, strict=True):
                try:
                    valid, more = utf8(file, value or b"", 0, replace)
                except Problem:
                    raise Problem(
                        f"{file}: row {row}, column {name!r}: not UTF-8; mend it, or pass --text.invalid_utf8=replace"
                    ) from None
                fields.append(valid)
                replaced += more
            row += 1
        yield from _paragraphs(fields, replaced)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _as_binary(column: pa.Array) -> list[bytes | None]:
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return column.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()


def _paragraphs(fields: list[bytes], replaced: int) -> Iterator[tuple[bytes, int]]:
    """Paragraphs as lines: a blank line ends one, a newline inside is a blank; the first piece has the count."""
    text = b"\n".join(part.replace(b"\n", b" ") for part in _BETWEEN_PARAGRAPHS.split(b"\n\n".join(fields)))
    while text:
        cut = len(text) if len(text) <= PIECE else cut_at(text[:PIECE])
        head, text = text[:cut], text[cut:]
        yield ended(head), replaced
        replaced = 0
