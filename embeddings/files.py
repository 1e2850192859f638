"""Files that stand under their name only when they are whole."""
import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from embeddings.problems import Problem


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, beside its place, puts it on disk, then renames it; leaves nothing on failure."""
    part = path.with_name(path.name + ".part")
    try:
        with named(path), part.open("wb") as handle:
            handle.write(content if isinstance(content, bytes) else content.encode())
            handle.flush()
            os.fsync(handle.fileno())
        part.rename(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """Gives an OSError that does not know its file the name `path`: writing knows the descriptor only."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def check_output(path: Path, overwrite: bool, folder: bool = False) -> None:
    """Raises Problem where --output names what is there already and may not be replaced, or is in no folder.

    `folder` says that a folder is to be written, which never replaces anything.
    """
    if path.exists() and not (overwrite and path.is_file() and not folder):
        raise Problem(f"--output={path}: is there already: choose another name" +
                      (", or add --overwrite" if path.is_file() and not folder else ""))
    if not path.parent.is_dir():
        raise Problem(f"--output={path}: no such folder: {path.parent}")


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
