"""The door of every command: reads its flags, calls its main, and turns what went wrong into a line and an exit code.

Exit codes: 0 finished; 1 the data or the run failed; 2 wrong usage; 75 told to stop, the same command goes on (what was
trained is saved); 130 interrupted from the keyboard; 141 the reader of the output went away. Mistakes of ours keep
their traceback and leave with 1.

A command's module imports what is heavy (jax, numpy) inside main, so that --help and a misspelt flag answer at once.
"""
import errno
import hashlib
import inspect
import logging
import os
import platform
import re
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from embeddings.flags import parse
from embeddings.manual import manual
from embeddings.problems import Preempted, Problem

_FULL = "free some space, or choose another folder"
_CLOSED = "choose another folder, or have it made writable"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "choose a folder on another file system",
    errno.EROFS: _CLOSED,
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOTDIR: "a part of this path is a file, choose another",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "the device failed, choose another folder",
}


def run(main: Callable[..., None], cls: type, positional: str | None = None) -> NoReturn:
    """Runs a command and leaves with its exit code.

    `main(instance, words)` is called with the instance of `cls` that the flags describe and the words that are not
    flags (refused unless `positional` names them, as in "WORD..."). A main with a parameter `given` is also told
    which flags were given.
    """
    program = _program(main)
    code = 1
    _quieten()
    signal.signal(signal.SIGTERM, _told)
    try:
        code = _called(main, cls, positional, program, sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except _Told:
        code = Preempted.exit_code
        print(f"{program.rpartition('.')[2]}: told to stop (SIGTERM): run the same command again", file=sys.stderr)
    except BrokenPipeError:
        if not _reader_left():
            raise
        code = 141
    except Exception as error:
        line = message(error)
        if line is None:
            raise
        code = getattr(error, "exit_code", 1)
        print(f"{program.rpartition('.')[2]}: {line}", file=sys.stderr)
    _drain()
    sys.exit(code)


def message(error: Exception) -> str | None:
    """The line that the reader of an error can act on; None where it is a mistake of ours.

    Problems speak for themselves; of the rest, those that the machine is to blame for: a full or read-only disk, a
    folder that may not be written, memory that ran out. Libraries that wrap such an error keep its text, so it is
    looked for there too.
    """
    if isinstance(error, Problem):
        return " ".join(str(error).split("\n"))
    number = error.errno if isinstance(error, OSError) and error.errno else _number(str(error))
    if number in _REMEDIES:
        return f"{_path(error)}{os.strerror(number)}; {_REMEDIES[number]}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        detail = str(error).strip().partition("\n")[0]
        return f"not enough memory{': ' + detail if detail else ''}; choose smaller sizes, or a larger machine"
    return None


def cache() -> Path:
    """Where prepared things are kept; programs that JAX compiles from now on among them, for the next process."""
    folder = Path(os.environ.get("EMBEDDINGS_CACHE") or Path.home() / ".cache" / "embeddings")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled" / _processor()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    return folder


def _processor() -> str:
    """A name for what this machine's processor can do: a compiled program does not run on one that can do less."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        known = [line for line in lines if line.startswith(("flags", "Features"))]
    except OSError:
        known = []
    return hashlib.sha256("".join([platform.machine(), *known[:1]]).encode()).hexdigest()[:16]


class _Told(BaseException):
    """SIGTERM came; no Exception, so that what is under way can clean up but not carry on."""


def _told(number: int, frame: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up takes a moment
    raise _Told


def _called(main: Callable[..., None], cls: type, positional: str | None, program: str, arguments: list[str]) -> int:
    flags = arguments[:arguments.index("--")] if "--" in arguments else arguments
    if not {"-h", "--help", "--helpfull", "--helpshort"}.isdisjoint(flags):
        width = max(60, min(120, shutil.get_terminal_size().columns))
        description = inspect.getmodule(main).__doc__ or main.__doc__ or ""
        print(manual(cls, f"python -m {program}", description, positional, width), end="")
        return 0
    instance, words, given = parse(arguments, cls, positional)
    extra: dict[str, Any] = {"given": given} if "given" in inspect.signature(main).parameters else {}
    main(instance, words, **extra)
    return 0


def _program(main: Callable[..., None]) -> str:
    """The name that `python -m` knows the command by."""
    specification = getattr(sys.modules[main.__module__], "__spec__", None)
    return specification.name if specification else Path(sys.argv[0]).stem


def _quieten() -> None:
    """Keeps Orbax from telling at length what it mends itself, or raises anyway."""
    for name in ("absl", "asyncio", "concurrent.futures"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)

    def show(told: Any) -> None:
        if str(told.exc_value) != "Event loop is closed":  # by threads that were writing when another one failed
            sys.__unraisablehook__(told)

    sys.unraisablehook = show


def _drain() -> None:
    """Writes out what was printed; where that is impossible, drops it, or the interpreter would complain at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_left() -> bool:
    """Whether standard output or standard error is a pipe that nobody reads any more."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        poll.register(stream.fileno(), select.POLLERR)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _number(text: str) -> int | None:
    """The error number whose text stands in a message, of those that mean the disk and nothing else."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)
    return next((number for number in numbers if os.strerror(number) in text), None)


def _path(error: Exception) -> str:
    """`PATH: `, as far as the error knows it."""
    quoted = re.search(r"""['"](/[^'"]+)['"]""", str(error))
    path = getattr(error, "filename2", None) or getattr(error, "filename", None) or (quoted and quoted[1])
    return f"{os.fsdecode(path)}: " if isinstance(path, str | bytes | os.PathLike) else ""
