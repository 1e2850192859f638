"""Files to blocks of lines, in bounded memory whatever the size of a file.

A block is about 4 MB of valid UTF-8 in whole lines; a line is a segment that no window crosses. In .txt and the
like a line is a line of the file; in the records of .jsonl and .parquet it is a paragraph. Lines longer than a block
are cut at a blank. Markup lines of WikiExtractor (`<doc ...>`, `</doc>`) are left out.
"""
import dataclasses
import glob
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from embeddings import experiment
from embeddings.corpus import known, python_docs, readers, streams
from embeddings.problems import Problem, UsageProblem
from embeddings.spelling import suggestion

_AHEAD = 2
_MARKUP = re.compile(rb"\n<(?:doc [^\n]*|/doc)>[ \t\r]*(?=\n)")


@dataclasses.dataclass(frozen=True)
class Source:
    """Which files a corpus is and how they are read; `kind` names the corpus whose files need a reader of their own."""

    files: tuple[Path, ...]
    field: tuple[str, ...] = ("text",)
    invalid_utf8: str = "error"
    kind: str = ""

    def __str__(self) -> str:
        more = f" and {len(self.files) - 1} more" if len(self.files) > 1 else ""
        return f"{self.files[0]}{more}"


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole lines of UTF-8, each ended by a newline.

    `file` is where they begin, `replaced` how many invalid sequences became U+FFFD in them, `read` how many bytes of
    all files (as they are on disk) were read when the block was full.
    """

    text: bytes
    file: Path
    replaced: int = 0
    read: int = 0


def find(
    corpus: str,
    *,
    text: experiment.Text,
    data: Path | None,
    cache: Path,
    progress: Callable[[str, int, int], None] | None = None,
) -> Source:
    """The files behind `--corpus`: a known name, a file, a folder (recursive, sorted) or a glob.

    Known corpora are looked for below `data`, then in `cache`, then downloaded into it (`progress` is called with what,
    bytes done, bytes in all). A name wins over a file of that name: write `./name` for the file. Raises Problem for
    what is missing, empty or not text, UsageProblem for an unknown name.
    """
    settings = {"field": text.field, "invalid_utf8": text.invalid_utf8}
    if corpus == "python_docs":
        default = text.field == experiment.Text().field
        fields = ("summary", "body") if default else text.field
        return Source((python_docs.collect(cache, progress),), **settings | {"field": fields})
    if corpus in known.CORPORA:
        files = known.locate(corpus, data, cache, progress)
        return Source(files, **settings, kind=known.CORPORA[corpus].kind)
    return Source(_files(corpus), **settings)


def blocks(source: Source, readers_at_once: int = 4) -> Iterator[Block]:
    """The lines of all files in order, in blocks of about 4 MB; small files share one.

    Files are read ahead in threads, at most `readers_at_once` of them and two pieces each. Raises Problem naming the
    file, and the line or the byte offset in the (decompressed) stream, for what can't be read.
    """
    parts: list[bytes] = []
    size = replaced = read = 0
    first = None
    for piece in _ahead(source, readers_at_once):
        first = first or piece.file
        marked = b"<doc " in piece.text or b"</doc>" in piece.text
        text = _MARKUP.sub(b"", b"\n" + piece.text)[1:] if marked else piece.text
        parts.append(text)
        size, replaced, read = size + len(text), replaced + piece.replaced, read + piece.read
        if size >= streams.PIECE // 2:
            yield Block(b"".join(parts), first, replaced, read)
            parts, size, replaced, first = [], 0, 0, None
    if size or replaced:
        yield Block(b"".join(parts), first, replaced, read)


def _files(corpus: str) -> tuple[Path, ...]:
    """The files that a path or glob stands for. Raises Problem where there are none."""
    if not corpus:
        raise UsageProblem("--corpus is empty; name a file, a folder, a glob or a known corpus")
    path = Path(corpus)
    if path.is_dir():
        inside = sorted(p for p in path.rglob("*") if p.is_file() and readers.is_read(p) and not _hidden(p, path))
        if not inside:
            raise Problem(f"{path}: no {' '.join(readers.SUFFIXES)} in this folder; name other text files by a glob")
        return tuple(inside)
    if path.exists():
        return (readers.checked(path),)
    if glob.has_magic(corpus):
        matches = sorted(Path(p) for p in glob.glob(corpus, recursive=True) if os.path.isfile(p))
        if not matches:
            raise Problem(f"--corpus={corpus}: no file matches this glob; correct it")
        return tuple(readers.checked(p) for p in matches)
    if not path.suffix and os.sep not in corpus:
        names = [*known.CORPORA, "python_docs"]
        names.sort()
        raise UsageProblem(f"--corpus={corpus}: no file, and none of {', '.join(names)}{suggestion(corpus, names)}")
    raise Problem(f"--corpus={corpus}: there is no such file or folder; correct the path")


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def _ahead(source: Source, at_once: int) -> Iterator[readers.Piece]:
    """The pieces of all files in order, read ahead in at most `at_once` threads, each two pieces each."""
    stop = threading.Event()
    waiting: list[queue.Queue] = []
    shares = _shares(source.files)
    try:
        while True:
            while len(waiting) < at_once and (files := next(shares, None)) is not None:
                waiting.append(queue.Queue(_AHEAD))
                threading.Thread(target=_read, args=(source, files, waiting[-1], stop), daemon=True).start()
            if not waiting:
                return
            while (piece := waiting[0].get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
            waiting.pop(0)
    finally:
        stop.set()


def _shares(files: tuple[Path, ...]) -> Iterator[list[Path]]:
    """Consecutive files that one thread reads: those that a piece would hold, or one."""
    share: list[Path] = []
    size = 0
    for file in files:
        more = file.stat().st_size if file.exists() else 0
        if share and size + more > streams.PIECE:
            yield share
            share, size = [], 0
        share.append(file)
        size += more
    if share:
        yield share


def _read(source: Source, files: list[Path], pieces: queue.Queue, stop: threading.Event) -> None:
    """Thread: the pieces of some files into a queue, then None, or what went wrong."""

    def put(piece) -> None:
        while not stop.is_set():
            try:
                return pieces.put(piece, timeout=0.1)
            except queue.Full:
                continue

    try:
        for file in files:
            for piece in readers.pieces(file, source.field, source.invalid_utf8 == "replace", source.kind):
                put(piece)
                if stop.is_set():
                    return
        put(None)
    except BaseException as error:
        put(error)
