"""Published files to one file on disk: with resume, checked, under its name only when whole."""
import fcntl
import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from embeddings.problems import Problem

TIMEOUT = 60.0
"""Seconds without a byte from the server after which a download is given up."""
_CHUNK = 1 << 18


def download(
    urls: Sequence[str],
    path: Path,
    size: int,
    digest: str,
    joined: Callable[[str, bytes], bytes] | None = None,
    arrived: Callable[[int], None] | None = None,
) -> None:
    """Downloads files and joins them to `path`, going on where an earlier try was cut off.

    `joined` makes of a file's name and bytes what is appended (None: its bytes); `size` (0: any) and `digest`
    (algorithm:hexadecimal) are those of the whole; `arrived` is called with the bytes so far. What has arrived is kept
    in the folder `path` + ".parts" until all has. Raises Problem where there is no network, no room, or the wrong
    content.
    """
    lock = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("wb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # another process may be at it
            if not path.exists():
                _download(urls, path, size, digest, joined, arrived or (lambda done: None))
            lock.unlink(missing_ok=True)
    except OSError as error:
        place, why = error.filename or path, error.strerror or error
        remedy = "free space or set EMBEDDINGS_CACHE to another folder"
        raise Problem(f"{place}: cannot be written: {why}; {remedy}") from None


def _download(
    urls: Sequence[str],
    path: Path,
    size: int,
    digest: str,
    joined: Callable[[str, bytes], bytes] | None,
    arrived: Callable[[int], None],
) -> None:
    parts = path.with_name(path.name + ".parts")
    parts.mkdir(exist_ok=True)
    names = [parts / f"{number:03d}" for number in range(len(urls))]
    done = 0
    for url, part in zip(urls, names, strict=True):
        if not part.exists():
            _fetch(url, part, path, lambda now, done=done: arrived(done + now))
        done += part.stat().st_size
    whole = parts / "whole"
    _join(urls, names, whole, joined)
    try:
        check(whole, size, digest, "run again", f"{path.name} as downloaded from {urls[0]}")
    except Problem:
        shutil.rmtree(parts)
        raise
    whole.replace(path)
    shutil.rmtree(parts, ignore_errors=True)


def check(path: Path, size: int, digest: str, remedy: str, shown: str = "") -> None:
    """Raises Problem where a file isn't of this size (0: any) and digest; `shown` is what the message calls it."""
    algorithm, _, expected = digest.partition(":")
    shown = shown or str(path)
    try:
        found = path.stat().st_size
        if size and found != size:
            raise Problem(f"{shown}: {found} bytes where {size} are expected; {remedy}")
        with path.open("rb") as file:
            actual = hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise Problem(f"{path}: cannot be read: {error.strerror}") from None
    if actual != expected:
        raise Problem(f"{shown}: its {algorithm} is {actual}, not {expected}; {remedy}")


def _fetch(url: str, part: Path, path: Path, arrived: Callable[[int], None]) -> None:
    """One URL to a file, by way of `part`.incomplete, from where that ends."""
    incomplete = part.with_name(part.name + ".incomplete")
    start = incomplete.stat().st_size if incomplete.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    remedy = f"see to the network and run again, or put the file at {path}"
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416 or not start:
            raise Problem(f"{url}: the server answers {error.code} {error.reason}; {remedy}") from None
        incomplete.unlink()  # it is longer than what there is now
        return _fetch(url, part, path, arrived)
    except (OSError, http.client.HTTPException) as error:
        raise Problem(f"{url}: cannot be reached ({getattr(error, 'reason', error)}); {remedy}") from None
    with response, incomplete.open("ab" if start and response.status == 206 else "wb") as file:
        now = file.tell()
        expected = now + int(response.headers.get("Content-Length") or 0)
        while chunk := _receive(response, url, remedy):
            file.write(chunk)
            now += len(chunk)
            arrived(now)
    if now < expected:
        raise Problem(f"{url}: cut off after {now} of {expected} bytes; run again to go on from there")
    incomplete.rename(part)


def _receive(response: http.client.HTTPResponse, url: str, remedy: str) -> bytes:
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Problem(f"{url}: the connection broke ({error or type(error).__name__}); {remedy}") from None


def _join(urls: Sequence[str], parts: list[Path], whole: Path, joined: Callable[[str, bytes], bytes] | None) -> None:
    if len(parts) == 1 and not joined:
        parts[0].rename(whole)
        return
    with whole.open("wb") as file:
        for url, part in zip(urls, parts, strict=True):
            content = part.read_bytes()
            file.write(joined(url.rpartition("/")[2], content) if joined else content)
