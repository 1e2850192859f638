"""The formats a corpus comes in, each to pieces of lines in bounded memory.

    .txt .gz .xz .zst .bz2, any other text    lines of the file
    .jsonl (also .jsonl.gz ...) .parquet      paragraphs of the named fields of each record
    .zip                                      known corpora only: their members, in order
"""
import bz2
import contextlib
import dataclasses
import gzip
import io
import itertools
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet

from embeddings.problems import Problem, UsageProblem

PIECE = 4 << 20
LARGEST_RECORD = 64 << 20
SUFFIXES = (".txt", ".jsonl", ".parquet", ".gz", ".xz", ".zst", ".bz2")
_COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
_BINARY = frozenset(
    ".zip .tar .tgz .7z .rar .lz4 .pdf .doc .docx .odt .rtf .epub .xls .xlsx .png .jpg .jpeg .gif .webp .mp3 .mp4 .wav "
    ".npy .npz .pkl .pickle .pt .pth .bin .safetensors .h5 .hdf5 .onnx .arrow .feather .orc .avro .sqlite .db .so .exe "
    ".pyc .o .a .dll .whl".split()
)
_BROWN_MEMBER = re.compile(r"brown/c[a-r]\d\d")
_BROWN_TAG = re.compile(rb"/[^/\s]*(?!\S)")
_BETWEEN_PARAGRAPHS = re.compile(rb"\n\s*\n")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BOM = b"\xef\xbb\xbf"


@dataclasses.dataclass(frozen=True)
class Piece:
    """At most 4 MB of whole lines of one file, each ended by a newline.

    `replaced` counts invalid sequences that became U+FFFD, `read` the bytes of the file (as it is on disk) behind it.
    """

    text: bytes
    file: Path
    replaced: int = 0
    read: int = 0


def known(file: Path) -> bool:
    """Whether a file found in a folder is read: by its suffix, or as WikiExtractor's wiki_NN."""
    if not file.suffix:
        return re.fullmatch(r"wiki_\d+", file.name) is not None
    return file.suffix in SUFFIXES and ".tar" not in file.suffixes


def checked(file: Path) -> Path:
    """The file itself. Raises Problem where its suffix is known not to be text."""
    refused = next((suffix for suffix in file.suffixes[-2:] if suffix.lower() in _BINARY), None)
    if refused or file.suffixes[-2:-1] == [".parquet"]:
        raise Problem(f"{file}: {''.join(file.suffixes[-2:])} is not read; unpack or convert it to {' '.join(SUFFIXES)}")
    return file


def pieces(file: Path, field: tuple[str, ...], replace: bool, kind: str = "") -> Iterator[Piece]:
    """The lines of one file in pieces.

    `field` are the columns of records; `replace` puts U+FFFD for what is not UTF-8. Raises Problem naming the file,
    and the line, row or byte offset, for what can't be read, is damaged or isn't UTF-8.
    """
    behind = 0
    with _readable(file), file.open("rb") as raw:
        if file.suffix == ".parquet":
            texts = _parquet(file, raw, field, replace)
        elif ".jsonl" in file.suffixes[-2:]:
            texts = _jsonl(file, _stream(file, raw), field, replace)
        elif file.suffix == ".zip":
            texts = _zip(file, raw, replace, kind)
        else:
            texts = _lines(file, _stream(file, raw), replace)
        for text, replaced in texts:
            now = max(behind, raw.tell())
            yield Piece(text, file, replaced, now - behind)
            behind = now


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Failures of the file system and of decompression as a Problem that names the file."""
    try:
        yield
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile, pa.ArrowException) as error:
        raise Problem(f"{file}: damaged or cut off ({_line(error)}); fetch or write it again") from None
    except OSError as error:
        if error.strerror and error.errno:
            raise Problem(f"{file}: cannot be read: {error.strerror}") from None
        raise Problem(f"{file}: damaged or cut off ({_line(error)}); fetch or write it again") from None


def _line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _stream(file: Path, raw: BinaryIO) -> BinaryIO:
    """The decompressed bytes of an open file."""
    if file.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if file.suffix == ".xz":
        return lzma.LZMAFile(raw)
    if file.suffix == ".bz2":
        return bz2.BZ2File(raw)
    if file.suffix == ".zst":  # zstandard's own reader takes a file that was cut off for a whole one
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"), 1 << 20)
    return raw


def _fill(stream: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes, fewer at the end of the stream only."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _lines(file: Path, stream: BinaryIO, replace: bool) -> Iterator[tuple[bytes, int]]:
    """The lines of a stream and how many invalid sequences were replaced, by the piece."""
    offset, carry = 0, b""
    while text := carry + _fill(stream, PIECE - len(carry)):
        cut = len(text) if len(text) < PIECE else _cut(text)
        head, carry = text[:cut], text[cut:]
        head, replaced = _utf8(file, head, offset, replace)
        if not offset and head.startswith(_BOM):
            head = head[len(_BOM) :]
        offset += cut
        yield head if head.endswith(b"\n") else head + b"\n", replaced


def _cut(text: bytes) -> int:
    """Where to cut: after the last newline, else after the last blank, else between two characters."""
    cut = text.rfind(b"\n") + 1 or max(text.rfind(b" "), text.rfind(b"\t")) + 1
    if not cut:
        cut = len(text) - 1
        while cut > len(text) - 4 and text[cut] & 0xC0 == 0x80:
            cut -= 1
    return cut


def _utf8(file: Path, text: bytes, offset: int, replace: bool) -> tuple[bytes, int]:
    """Valid UTF-8 and the number of sequences replaced. Raises Problem naming file and offset."""
    if text.isascii():
        return text, 0
    ends = pa.py_buffer(b"\0\0\0\0" + len(text).to_bytes(4, "little"))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(text)).validate(full=True)  # ten times as fast as decode()
        return text, 0
    except pa.ArrowInvalid:
        pass
    if replace:
        valid = text.decode("utf-8", "replace").encode()
        return valid, valid.count(b"\xef\xbf\xbd") - text.count(b"\xef\xbf\xbd")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        place = f"byte {offset + error.start}" + (" of the decompressed text" if file.suffix in _COMPRESSED else "")
        raise Problem(
            f"{file}: not UTF-8 at {place}; convert the file, or pass --text.invalid_utf8=replace"
        ) from None
    raise AssertionError("pyarrow and Python disagree on what is UTF-8")


def _jsonl(file: Path, stream: BinaryIO, field: tuple[str, ...], replace: bool) -> Iterator[tuple[bytes, int]]:
    """The paragraphs of the fields of each line's record."""
    offset, line, carry = 0, 1, b""
    while True:
        new = _fill(stream, PIECE)
        text = carry + new
        if not text:
            return
        cut = len(text) if not new else text.rfind(b"\n") + 1
        if not cut and len(text) > LARGEST_RECORD:
            raise Problem(f"{file}:{line}: a record of more than {LARGEST_RECORD >> 20} MB; split it")
        if not cut:
            carry = text
            continue
        head, carry = text[:cut], text[cut:]
        head, replaced = _utf8(file, head, offset, replace)
        fields, more = _json_fields(file, head.removeprefix(_BOM) if not offset else head, line, field, replace)
        yield from _paragraphs(fields, replaced + more)
        offset, line = offset + cut, line + head.count(b"\n")


def _json_fields(file: Path, text: bytes, line: int, field: tuple, replace: bool) -> tuple[list[bytes], int]:
    """The fields of each line's record as UTF-8, and how many lone surrogates were replaced."""
    rows = sum(1 for row in text.split(b"\n") if row.strip())
    schema = pa.schema([(name, pa.string()) for name in field])
    try:
        parse = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        read = pa.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        table = pa.json.read_json(pa.BufferReader(text), read, parse) if rows else schema.empty_table()
        if table.num_rows == rows and not any(column.null_count for column in table.columns):
            columns = [table[name].cast(pa.binary()).to_pylist() for name in field]
            return list(itertools.chain.from_iterable(zip(*columns, strict=True))), 0
    except pa.ArrowInvalid:
        pass  # the slow way says which line it is, and takes what only Python takes
    return _json_fields_by_line(file, text, line, field, replace)


def _json_fields_by_line(file: Path, text: bytes, line: int, field: tuple, replace: bool) -> tuple[list[bytes], int]:
    """As _json_fields, a line at a time. Raises Problem naming file and line."""
    fields, replaced = [], 0
    for number, row in enumerate(text.decode().split("\n"), line):
        if not row.strip():
            continue
        try:
            record = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise Problem(f"{file}:{number}: not a JSON record ({_line(error)})") from None
        for name in field:
            value = record.get(name) if isinstance(record, dict) else None
            if not isinstance(value, str):
                raise Problem(f"{file}:{number}: {_lacks(record, name)}; name the text's columns by --text.field")
            valid, lone = _SURROGATE.subn("\ufffd", value)
            if lone and not replace:
                raise Problem(
                    f"{file}:{number}: half a surrogate pair in {name!r}; mend it, or pass --text.invalid_utf8=replace"
                )
            fields.append(valid.encode())
            replaced += lone
    return fields, replaced


def _lacks(record: object, name: str) -> str:
    if not isinstance(record, dict):
        return "not a record of named fields"
    if name not in record:
        return f"no field {name!r}, only {', '.join(sorted(map(repr, record)))[:200] or 'none'}"
    return f"field {name!r} is not a string"


def _parquet(file: Path, raw: BinaryIO, field: tuple[str, ...], replace: bool) -> Iterator[tuple[bytes, int]]:
    """The paragraphs of the columns of each row; a null is an empty text."""
    table = pa.parquet.ParquetFile(raw, buffer_size=1 << 20, pre_buffer=False)
    for name in field:
        if name not in table.schema_arrow.names:
            raise Problem(
                f"{file}: no column {name!r}, only {', '.join(map(repr, table.schema_arrow.names))[:200]}; "
                "name the text's columns by --text.field"
            )
        if not _is_text(table.schema_arrow.field(name).type):
            raise Problem(f"{file}: column {name!r} is not a string; name the text's columns by --text.field")
    row = 0
    for batch in table.iter_batches(batch_size=256, columns=list(field), use_threads=False):
        fields, replaced = [], 0
        for values in zip(*(_as_binary(batch.column(name)) for name in field), strict=True):
            for name, value in zip(field, values, strict=True):
                try:
                    valid, more = _utf8(file, value or b"", 0, replace)
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
    """Paragraphs as lines: a blank line ends one, newlines inside are blanks; the first piece carries the count."""
    text = b"\n".join(part.replace(b"\n", b" ") for part in _BETWEEN_PARAGRAPHS.split(b"\n\n".join(fields))) + b"\n"
    while text:
        cut = len(text) if len(text) <= PIECE else _cut(text[:PIECE])
        head, text = text[:cut], text[cut:]
        yield head if head.endswith(b"\n") else head + b"\n", replaced
        replaced = 0


def _zip(file: Path, raw: BinaryIO, replace: bool, kind: str) -> Iterator[tuple[bytes, int]]:
    """The members of an archive in order; of Brown the tagged texts, without their tags (word/tag)."""
    if not kind:
        raise UsageProblem(f"{file}: .zip is not read; unpack it")
    with zipfile.ZipFile(raw) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith("/") or (kind == "brown" and not _BROWN_MEMBER.fullmatch(name)):
                continue
            with archive.open(name) as member:
                for text, replaced in _lines(file, member, replace):
                    yield (_BROWN_TAG.sub(b"", text) if kind == "brown" else text), replaced
