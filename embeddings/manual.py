"""What `--help` prints: what the command does, then its flags by part, each with its default."""
import dataclasses
import re
import textwrap

from embeddings.fields import Field, Range, leaves, parts

_COLUMN = 40


def manual(cls: type, program: str, description: str, positional: str | None = None, width: int = 100) -> str:
    """The help of a command, `width` characters wide.

    `description` is the docstring of the command's module and stands first, as written; `positional` names the words
    that the command takes.
    """
    words = f" {positional}" if positional else ""
    # Python 3.13 takes from docstrings what all lines but the first are indented by: commands, where no others follow.
    description = re.sub(r"^(?=python -m )", "    ", description, flags=re.MULTILINE)
    lines = [f"usage: {program} [--flagfile=FILE] [--flag=value ...]{words}", "", description.strip(), ""]
    lines += ["Flags, each with its default:"]
    lines += _entry("--flagfile=FILE", "Reads flags from a file, one --flag=value a line; # begins a comment line. "
                    "Flags of the command line win over those of files.", width)
    inner, part = parts(cls), ""
    for field in leaves(cls):
        if field.part != part:
            part = field.part
            lines += ["", *textwrap.wrap(f"{part}: {_summary(inner[part])}", width)]
        lines += _entry(_usage(field), _meaning(field), width)
    return "\n".join(lines) + "\n"


def _usage(field: Field) -> str:
    needed = field.default is dataclasses.MISSING
    return f"--{field.name}={'...' if needed else field.kind.write(field.default)}"


def _meaning(field: Field) -> str:
    notes = ["needed"] if field.default is dataclasses.MISSING else []
    notes += ["separated by commas"] if field.kind.many else []
    if field.kind.choices or field.kind.range not in (None, Range(at_least=0), Range(at_least=1)):
        notes.append(str(field.kind))
    return f"{field.meaning} ({'; '.join(notes)})" if notes else field.meaning


def _entry(left: str, right: str, width: int) -> list[str]:
    """One flag: its name and default, then what it is for in a column beside it, or below where there is no room."""
    column = _COLUMN if width >= 2 * _COLUMN else 8
    wrapped = textwrap.wrap(right, width, initial_indent=" " * column, subsequent_indent=" " * column,
                            break_on_hyphens=False)
    first = f"  {left}"
    if wrapped and len(first) + 2 <= column:
        return [first + wrapped[0][len(first):], *wrapped[1:]]
    return [first, *wrapped]


def _summary(part: type) -> str:
    return " ".join((part.__doc__ or "").split())
