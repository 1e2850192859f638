"""Bytes of a file to pieces of whole lines of UTF-8, decompressed on the way, in bounded memory."""
import bz2
import gzip
import io
import lzma
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pyarrow as pa

from embeddings.problems import Problem

PIECE = 4 << 20
"""Bytes of text read at a time."""
COMPRESSED = (".gz", ".xz", ".zst", ".bz2")
REPLACEMENT = "\ufffd".encode()
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decompressed(file: Path, raw: BufferedIOBase) -> BufferedIOBase:
    """The decompressed bytes of an open file, by its suffix; the bytes themselves for any other suffix."""
    if file.suffix == ".gz":
        return gzip.GzipFile(fileobj=raw)
    if file.suffix == ".xz":
        return lzma.LZMAFile(raw)
    if file.suffix == ".bz2":
        return bz2.BZ2File(raw)
    if file.suffix == ".zst":  # the package zstandard takes a file that was cut off for a whole one
        return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd"), 1 << 20)
    return raw


def fill(stream: BufferedIOBase, size: int) -> bytes:
    """Exactly `size` bytes, fewer at the end of the stream only."""
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def lines(file: Path, stream: BufferedIOBase, replace: bool) -> Iterator[tuple[bytes, int]]:
    """The lines of a stream by the piece of at most 4 MB, each ended by a newline; and how many invalid sequences
    became U+FFFD in the piece, if `replace`.

    Raises Problem naming file and byte where it isn't UTF-8, unless `replace`.
    """
    offset, carry = 0, b""
    while text := carry + fill(stream, PIECE - len(carry)):
        cut = len(text) if len(text) < PIECE else cut_at(text)
        head, carry = text[:cut], text[cut:]
        head, replaced = utf8(file, head, offset, replace)
        if not offset:
            head = head.removeprefix(BYTE_ORDER_MARK)
        offset += cut
        yield ended(head), replaced


def ended(text: bytes) -> bytes:
    """The text, ended by a newline."""
    return text if text.endswith(b"\n") else text + b"\n"


def cut_at(text: bytes) -> int:
    """Where to cut a text in two: after its last newline, else after its last blank, else between two characters."""
    cut = text.rfind(b"\n") + 1 or max(text.rfind(b" "), text.rfind(b"\t")) + 1
    if not cut:
        cut = len(text) - 1
        while cut > len(text) - 4 and text[cut] & 0xC0 == 0x80:
            cut -= 1
    return cut


def utf8(file: Path, text: bytes, offset: int, replace: bool) -> tuple[bytes, int]:
    """Valid UTF-8, and how many invalid sequences became U+FFFD if `replace`. Raises Problem naming file and byte."""
    if is_utf8(text):
        return text, 0
    if replace:
        valid = text.decode("utf-8", "replace").encode()
        return valid, valid.count(REPLACEMENT) - text.count(REPLACEMENT)
    try:
        text.decode()
    except UnicodeDecodeError as error:
        place = f"byte {offset + error.start}" + (" of the decompressed text" if file.suffix in COMPRESSED else "")
        raise Problem(f"{file}: not UTF-8 at {place}; convert it, or pass --text.invalid_utf8=replace") from None
    raise AssertionError("pyarrow and Python disagree on what UTF-8 is")


def is_utf8(text: bytes) -> bool:
    """Whether bytes are valid UTF-8; ten times as fast as decoding them."""
    if text.isascii():
        return True
    ends = pa.py_buffer(bytes(4) + len(text).to_bytes(4, "little"))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(text)).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
