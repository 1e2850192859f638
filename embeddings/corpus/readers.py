"""The formats that a corpus comes in, each to pieces of lines in bounded memory.

    .txt .gz .xz .zst .bz2, any other text    lines of the file
    .jsonl (also .jsonl.gz ...) .parquet      paragraphs of the named fields of each record
    .zip                                      known corpora only: their members, in order
"""
import contextlib
import dataclasses
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import pyarrow as pa

from embeddings.corpus import records, streams, wikipedia
from embeddings.problems import Problem

SUFFIXES = (".txt", ".jsonl", ".parquet", *streams.COMPRESSED)
"""What is read of a folder; a file or glob may have any other suffix that isn't known not to be text."""
_NOT_TEXT = re.compile(
    r"\.(zip|tar|tgz|tbz2?|txz|7z|rar|lz4|pdf|docx?|odt|rtf|epub|xlsx?|pptx?|png|jpe?g|gif|webp|mp[34]|wav|flac|npy|npz"
    r"|pkl|pickle|pth?|bin|model|safetensors|h5|hdf5|onnx|arrow|feather|orc|avro|sqlite3?|db|so|exe|dll|pyc|o|a|whl)",
    re.IGNORECASE,
)
_BROWN_MEMBER = re.compile(r"brown/c[a-r]\d\d")
_BROWN_TAG = re.compile(rb"/[^/\s]*(?!\S)")


@dataclasses.dataclass(frozen=True)
class Piece:
    """At most 4 MB of whole lines of one file, each ended by a newline.

    `replaced` counts invalid sequences that became U+FFFD, `read` the bytes of the file (as it is on disk) behind it.
    """

    text: bytes
    file: Path
    replaced: int = 0
    read: int = 0


def is_read(file: Path) -> bool:
    """Whether a file found in a folder is read: by its suffix, or as WikiExtractor's wiki_NN."""
    if not file.suffix:
        return re.fullmatch(r"wiki_\d+", file.name) is not None
    return file.suffix in SUFFIXES and ".tar" not in file.suffixes


def checked(file: Path) -> Path:
    """The file itself. Raises Problem where it is a pipe or device, or its suffix is known not to be text."""
    if not file.is_file():
        raise Problem(f"{file}: not a regular file, and it is read more than once; write it to a file first")
    ends = file.suffixes[-2:] if file.suffix in streams.COMPRESSED else file.suffixes[-1:]
    if any(_NOT_TEXT.fullmatch(end) for end in ends) or ends[:-1] == [".parquet"]:
        raise Problem(f"{file}: {''.join(ends)} is not read; unpack or convert it: {' '.join(SUFFIXES)} are read")
    return file


def pieces(file: Path, field: tuple[str, ...], replace: bool, kind: str = "") -> Iterator[Piece]:
    """The lines of one file.

    `field` are the columns of records; `replace` puts U+FFFD for what is not UTF-8; `kind` is that of a Source. Raises
    Problem naming the file, and the line, row or byte, for what can't be read, is damaged or isn't UTF-8.
    """
    behind = 0
    with _readable(file), file.open("rb") as raw:
        if kind:
            texts = _members(file, raw, replace, kind)
        elif file.suffix == ".parquet":
            texts = records.parquet(file, raw, field, replace)
        elif ".jsonl" in file.suffixes[-2:]:
            texts = records.jsonl(file, streams.decompressed(file, raw), field, replace)
        else:
            texts = streams.lines(file, streams.decompressed(file, raw), replace)
        for text, replaced in texts:
            now = max(behind, raw.tell())
            yield Piece(text, file, replaced, now - behind)
            behind = now


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """What the file system and decompression fail with, as a Problem that names the file."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno and error.strerror and not isinstance(error, gzip.BadGzipFile):
            raise Problem(f"{file}: cannot be read: {error.strerror}") from None
        why = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise Problem(f"{file}: damaged or cut off ({why}); fetch or write it again") from None


def _members(file: Path, raw: BufferedIOBase, replace: bool, kind: str) -> Iterator[tuple[bytes, int]]:
    """The members of an archive, in order; of Brown the tagged texts without their tags, of Wikipedia the articles."""
    with zipfile.ZipFile(raw) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith("/") or (kind == "brown" and not _BROWN_MEMBER.fullmatch(name)):
                continue
            with archive.open(name) as member:
                if kind == "wikipedia":
                    yield from ((text, 0) for text in wikipedia.lines(file, member))
                    continue
                for text, replaced in streams.lines(file, member, replace):
                    yield (_BROWN_TAG.sub(b"", text) if kind == "brown" else text), replaced
