"""Fields of dataclasses as text: what a field may hold, how it is read from a flag, how it is written into one.

A tree of frozen dataclasses describes an experiment or a command. A field of the root is called `name`, a field of a
part `part.name`. Its type says what it may hold: str, int, float, bool, a Literal of strings, a tuple of any of
these, any of these or None; Annotated with a Range bounds a number. The string under the field says what it is for.
"""
import ast
import dataclasses
import functools
import inspect
import itertools
import math
import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from embeddings.spelling import suggestion


@dataclasses.dataclass(frozen=True)
class Range:
    """Bounds of a number; what is left None does not bind."""

    at_least: int | float | None = None
    """Lowest value allowed."""
    at_most: int | float | None = None
    """Highest value allowed."""
    above: int | float | None = None
    """Value that must be exceeded."""
    below: int | float | None = None
    """Value that must not be reached."""

    def holds(self, value: int | float) -> bool:
        """Whether the value is inside."""
        return ((self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
                and (self.above is None or value > self.above) and (self.below is None or value < self.below))

    def __str__(self) -> str:
        """`at least 0 and below 1`."""
        bounds = ((name.replace("_", " "), bound) for name, bound in vars(self).items())
        return " and ".join(f"{name} {bound}" for name, bound in bounds if bound is not None)


Count = Annotated[int, Range(at_least=0)]
"""A number of things, 0 among them."""
Positive = Annotated[int, Range(at_least=1)]
"""A number of things, at least one."""
Amount = Annotated[float, Range(at_least=0)]
"""A measure that is not negative."""
AboveZero = Annotated[float, Range(above=0)]
"""A measure greater than 0."""
Share = Annotated[float, Range(at_least=0, at_most=1)]
"""A part of a whole, 0 to 1."""
Decay = Annotated[float, Range(at_least=0, below=1)]
"""What is kept of a running mean at each step."""

_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f]|\s#|^\s|\s$|^(['\"]).*\1$")
_LARGEST = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a field may hold."""

    scalar: type
    """str, int, float or bool."""
    choices: tuple[str, ...] = ()
    """The only values allowed; empty allows all."""
    range: Range | None = None
    """Bounds of a number."""
    many: bool = False
    """Whether the value is a tuple, written with commas."""
    optional: bool = False
    """Whether None is allowed, written as nothing."""

    def read(self, text: str) -> Any:
        """The value that `text` stands for. Raises ValueError, whose message says what is allowed."""
        if self.optional and not text:
            return None
        if not self.many:
            return self._read_one(text)
        return tuple(self._read_one(item.strip()) for item in text.split(",")) if text else ()

    def write(self, value: Any) -> str:
        """The text that read() gives `value` for. Raises ValueError where there is no such text."""
        items = value if self.many else (value,)
        text = "" if value is None else ",".join(self._write_one(item) for item in items)
        if self.read(text) != value:
            raise ValueError(f"{value!r} cannot be written in a flag file")
        return text

    def __str__(self) -> str:
        """What is allowed beyond the type, for messages and help; empty where that is everything."""
        return f"one of {', '.join(self.choices)}" if self.choices else str(self.range or "")

    def _read_one(self, text: str) -> Any:
        if self.many and not text:
            raise ValueError("nothing stands between two commas")
        value = _READERS[self.scalar](text)
        if self.choices and value not in self.choices:
            raise ValueError(f"{self}{suggestion(text, self.choices)}")
        if self.range and not self.range.holds(value):
            raise ValueError(f"must be {self.range}")
        return value

    def _write_one(self, item: Any) -> str:
        if self.scalar is bool:
            return "true" if item else "false"
        return repr(float(item)) if self.scalar is float else str(item)


def _read_str(text: str) -> str:
    if _UNWRITABLE.search(text):
        raise ValueError("no quotes around it, no blanks at its ends, no ' #' and no control characters, please")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid UTF-8") from None
    return text


def _plain(text: str) -> str:
    """Refuses what Python's numbers allow and a flag file should not: blanks, underscores, digits of other scripts."""
    if not re.fullmatch(r"[-+.0-9A-Za-z]+", text):
        raise ValueError
    return text


def _read_int(text: str) -> int:
    try:
        value = int(_plain(text))
    except ValueError:
        raise ValueError("a whole number is needed") from None
    if abs(value) > _LARGEST:
        raise ValueError("more than 64 bits can hold")
    return value


def _read_float(text: str) -> float:
    try:
        value = float(_plain(text))
    except ValueError:
        raise ValueError("a number is needed") from None
    if not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "t", "1", "false", "f", "0"):
        raise ValueError("true or false is needed")
    return text.lower() in ("true", "t", "1")


_READERS = {str: _read_str, int: _read_int, float: _read_float, bool: _read_bool}


def kind(annotation: Any) -> Kind:
    """What a field of this type may hold. Raises TypeError for a type that no flag stands for."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType) and len(inner) == 2 and types.NoneType in inner:
        return dataclasses.replace(kind(inner[inner[0] is types.NoneType]), optional=True)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return dataclasses.replace(kind(inner[0]), many=True)
    if origin is Annotated:
        bounds = next((item for item in inner[1:] if isinstance(item, Range)), None)
        return dataclasses.replace(kind(inner[0]), range=bounds)
    if origin is Literal and all(isinstance(choice, str) for choice in inner):
        return Kind(str, choices=inner)
    if annotation in _READERS:
        return Kind(annotation)
    raise TypeError(f"no flag can hold {annotation}")


@dataclasses.dataclass(frozen=True)
class Field:
    """A leaf of the tree: one flag."""

    name: str
    """`name`, or `part.name`."""
    kind: Kind
    """What it may hold."""
    default: Any
    """Its value where none is given; dataclasses.MISSING where one must be."""
    meaning: str
    """The string under the field."""

    @property
    def part(self) -> str:
        """The part that the field stands in; empty for the root."""
        return self.name.rpartition(".")[0]

    def of(self, instance: Any) -> Any:
        """The field's value in an instance of the tree's root."""
        return functools.reduce(getattr, self.name.split("."), instance)


@functools.cache
def leaves(cls: type, prefix: str = "") -> tuple[Field, ...]:
    """All leaves of a tree, the root's first, then part by part, each in the order of its class."""
    hints = typing.get_type_hints(cls, include_extras=True)
    own, found = dataclasses.fields(cls), []
    for field in own:
        if not dataclasses.is_dataclass(hints[field.name]):
            default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
            found.append(Field(prefix + field.name, kind(hints[field.name]), default,
                               meanings(cls).get(field.name, "")))
    for field in own:
        if dataclasses.is_dataclass(hints[field.name]):
            found += leaves(hints[field.name], f"{prefix}{field.name}.")
    return tuple(found)


@functools.cache
def parts(cls: type) -> dict[str, type]:
    """The parts of a tree's root by name."""
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)
            if dataclasses.is_dataclass(hints[field.name])}


@functools.cache
def meanings(cls: type) -> dict[str, str]:
    """The string under each field, on one line; empty where the source is not at hand."""
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__[:-1]):
        try:
            body = _bodies(inspect.getsourcefile(ancestor)).get(ancestor.__qualname__, [])
        except (OSError, TypeError):
            continue
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


@functools.cache
def _bodies(path: str) -> dict[str, list[ast.stmt]]:
    """What stands in each class of a file, by the class's qualified name; a file is parsed once, not once a class."""
    found: dict[str, list[ast.stmt]] = {}

    def visit(node: ast.AST, before: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[before + child.name] = child.body
                visit(child, f"{before}{child.name}.")
            elif isinstance(child, ast.FunctionDef):
                visit(child, f"{before}{child.name}.<locals>.")

    visit(ast.parse(Path(path).read_bytes()), "")
    return found
