"""Flag files, read line by line and strictly.

absl's own reader skips a line without dashes, keeps a trailing comment as part of the value and finds nested files from
the working directory only; a typo then trains something else. Here every line is empty, a `#` comment, or one
`--flag=value` with a flag that exists, and everything else is refused with file and line.

A nested `--flagfile=NAME` is looked for beside the file that names it, then in the working directory. A file's own
lines win over those of the files it includes, wherever they stand; of two files that one includes, the later wins.
"""
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from embeddings.problems import UsageProblem
from embeddings.spelling import nearest, suggestion

FLAGFILE = "flagfile"
"""Name of the flag that includes a file."""


class Setting(NamedTuple):
    """One flag that was given."""

    name: str
    """Name of the flag, without dashes."""
    value: str | None
    """What was written for it; None where nothing was."""
    where: str
    """`FILE:LINE: `, or empty for the command line: begins a message about it."""


def setting(token: str, switches: Mapping[str, bool], where: str = "") -> Setting:
    """Reads `--name`, `--name=value` or, for a switch, `--noname`; `switches` says of each flag whether it is one.

    Raises UsageProblem for a flag that does not exist, with the nearest one that does.
    """
    name, equals, value = token[2:].partition("=")
    if name in switches:
        return Setting(name, value if equals else "true" if switches[name] else None, where)
    if name.startswith("no") and switches.get(name[2:]):
        if equals:
            raise UsageProblem(f"{where}--{name} takes no value; write --{name[2:]}={value}")
        return Setting(name[2:], "false", where)
    if name != name.rstrip():
        raise UsageProblem(f"{where}no blanks around the =, please: --{name.rstrip()}={value.lstrip()}")
    known = [*switches, *(f"no{other}" for other, is_switch in switches.items() if is_switch)]
    raise UsageProblem(f"{where}there is no flag --{name}{suggestion(name, known, '--{}')} (--help lists all)")


def read(path: Path, switches: Mapping[str, bool], including: tuple[Path, ...] = ()) -> list[Setting]:
    """All settings of a flag file, those of the files that it includes first: of equal names the last one counts.

    Raises UsageProblem, beginning with FILE:LINE, for whatever is not as the module's docstring says.
    """
    stack = (*including, path.resolve())
    included: list[Setting] = []
    own: dict[str, Setting] = {}
    for number, line in enumerate(_lines(path), 1):
        where = f"{os.path.normpath(path)}:{number}: "
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        given = _line(text, switches, where)
        if given.name == FLAGFILE:
            nested = find(given.value, (path.parent, Path()), where)
            if nested.resolve() in stack:
                raise UsageProblem(f"{where}{os.path.normpath(nested)} includes itself; leave this line out")
            included += read(nested, switches, stack)
        elif given.name in own:
            raise UsageProblem(f"{where}--{given.name} stands here twice, first as {own[given.name].value}; keep one")
        else:
            own[given.name] = given
    return [*included, *own.values()]


def find(name: str, folders: tuple[Path, ...] = (Path(),), where: str = "") -> Path:
    """The flag file of that name in the first folder that has it; an absolute name, or one in ~, stands for itself.

    Raises UsageProblem, with a file of like name where there is one.
    """
    if not name:
        raise UsageProblem(f"{where}--{FLAGFILE} names no file; write --{FLAGFILE}=FILE")
    paths = [folder / Path(name).expanduser() for folder in folders]
    for path in paths:
        if path.is_dir():
            raise UsageProblem(f"{where}{path} is a folder; name a flag file in it{_near(path / name)}")
        if path.exists():
            return path
    hint = next(filter(None, map(_near, paths)), "")
    raise UsageProblem(f"{where}there is no flag file {name}{hint}")


def _near(path: Path) -> str:
    """`; did you mean FILE?` for a flag file below the nearest folder that exists, by likeness of name."""
    folder = next(parent for parent in path.parents if parent.is_dir())
    if folder == Path(folder.anchor):
        return ""
    below = sorted(folder.glob("*.flags")) + sorted(folder.glob("*/*.flags")) + sorted(folder.glob("*/*/*.flags"))
    names = {f"{found.parent.name}.{found.stem}": found for found in reversed(below)}
    like = nearest(f"{path.parent.name}.{path.name.removesuffix('.flags')}", names)
    return f"; did you mean {names[like]}?" if like else ""


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UsageProblem(f"{path}: byte {error.start} is not UTF-8 text; is this a flag file?") from None
    except OSError as error:
        raise UsageProblem(f"{path}: cannot be read: {error.strerror}") from None


def _line(text: str, switches: Mapping[str, bool], where: str) -> Setting:
    if not text.startswith("--") or text == "--":
        raise UsageProblem(f"{where}a line is --flag=value, a # comment or empty, not {text[:60]!r}")
    if re.search(r"\s#", text):
        raise UsageProblem(f"{where}a comment needs a line of its own; take this one off the end of the flag's line")
    blank = re.match(r"(--[^\s=]+)\s+([^\s=].*)", text)
    if blank:
        raise UsageProblem(f"{where}write {blank[1]}={blank[2]}, with = and no blank")
    given = setting(text, switches, where)
    if given.value is None:
        raise UsageProblem(f"{where}--{given.name} needs a value: --{given.name}=VALUE")
    return given
