"""absl flags made from a tree of dataclasses, and the tree made from absl flags.

Flags are defined here and nowhere else. The command line's own flags win over any flag file, wherever they stand.
"""
import dataclasses
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from absl import flags as absl_flags

from embeddings.fields import Field, Kind, leaves, parts
from embeddings.flagfile import FLAGFILE, Setting, find, read, setting
from embeddings.problems import Problem, UsageProblem

T = TypeVar("T")


class _Parser(absl_flags.ArgumentParser):
    """Lets absl read a flag as its field's kind says."""

    def __init__(self, kind: Kind):
        self.kind = kind
        self.syntactic_help = str(kind)

    def parse(self, argument: Any) -> Any:
        """The value; absl also hands in the default, which is one already."""
        return self.kind.read(argument) if isinstance(argument, str) else argument

    def flag_type(self) -> str:
        """Name of the type."""
        return self.kind.scalar.__name__


class _Serializer(absl_flags.ArgumentSerializer):
    """Lets absl write a flag as its field's kind says."""

    def __init__(self, kind: Kind):
        self.kind = kind

    def serialize(self, value: Any) -> str:
        """The text that the parser gives the value for."""
        return self.kind.write(value)


def define(cls: type, flag_values: absl_flags.FlagValues, names: Collection[str] | None = None) -> None:
    """Defines an absl flag for every leaf of the tree, or for those of some names.

    Raises absl's DuplicateFlagError where one is taken.
    """
    for field in leaves(cls):
        if names is not None and field.name not in names:
            continue
        default = None if field.default is dataclasses.MISSING else field.default
        absl_flags.DEFINE_flag(
            absl_flags.Flag(_Parser(field.kind), _Serializer(field.kind), field.name, default, field.meaning,
                            boolean=_is_switch(field)), flag_values)


def parse(
    arguments: Sequence[str], cls: type[T], positional: str | None = None
) -> tuple[T, list[str], frozenset[str]]:
    """Reads a command line, without the program's name.

    Returns the instance, the words that are not flags, and the names of the flags that were given, in files too.
    Words are refused unless `positional` says what they are. Where `cls` has a method `validate`, it is called.
    Raises UsageProblem.
    """
    tree = list(leaves(cls))
    switches = {field.name: _is_switch(field) for field in tree}
    own, words = _split(arguments, {**switches, FLAGFILE: False}, positional)
    files = [find(given.value) for given in own if given.name == FLAGFILE]
    settings = [given for path in files for given in read(path, {**switches, FLAGFILE: False})]
    settings += [given for given in own if given.name != FLAGFILE]
    instance = _instance(cls, tree, settings)
    _refuse_other_architectures(instance, settings)
    if hasattr(instance, "validate"):
        instance.validate()
    return instance, words, frozenset(given.name for given in settings)


def load(path: Path, cls: type[T]) -> T:
    """The instance that a flag file alone describes, as a run folder keeps one. Raises UsageProblem."""
    return parse([f"--{FLAGFILE}={path}"], cls)[0]


def texts(instance: Any) -> dict[str, str]:
    """Every flag's value as it is written, by name, but those of architectures that are not selected.

    Raises Problem for a value that no flag file can hold.
    """
    aside, written = _other_architectures(instance), {}
    for field in leaves(type(instance)):
        if field.part not in aside:
            try:
                written[field.name] = field.kind.write(field.of(instance))
            except (ValueError, TypeError, AttributeError) as error:
                raise Problem(f"--{field.name}: {error}") from None
    return written


def resolved(instance: Any) -> str:
    """The flag file that holds every flag, defaults too; reading it gives an equal instance. Raises Problem."""
    return "".join(f"--{name}={text}\n" for name, text in texts(instance).items())


def _is_switch(field: Field) -> bool:
    return field.kind.scalar is bool and not field.kind.many


def _split(arguments: Sequence[str], switches: Mapping[str, bool], positional: str | None
           ) -> tuple[list[Setting], list[str]]:
    """The command line's own flags, in order, and its words."""
    given: list[Setting] = []
    words: list[str] = []
    rest = iter(arguments)
    before = ""
    for argument in rest:
        if argument == "--":
            words += rest
            _refuse_words(words, "", positional)
        elif argument.startswith("--"):
            one = setting(argument, switches)
            given.append(one if one.value is not None else one._replace(value=_next_value(one.name, rest)))
            before = one.name if switches[one.name] and "=" not in argument else ""
            continue
        elif argument.startswith("-") and argument[1:2].isalpha():
            hint = "" if positional is None else "; words that begin with one go after --"
            raise UsageProblem(f"{argument}: a flag begins with two dashes (--help lists all){hint}")
        else:
            words.append(argument)
            _refuse_words([argument], before, positional)
        before = ""
    return given, words


def _next_value(name: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None or value.startswith("--"):
        raise UsageProblem(f"--{name} needs a value: --{name}=VALUE")
    return value


def _refuse_words(words: Sequence[str], before: str, positional: str | None) -> None:
    """`before` is the switch that stood just before, if one did: its value may have been meant."""
    if words and before and (positional is None or words[0].lower() in ("true", "false", "1", "0")):
        raise UsageProblem(f"--{before} {words[0]}: a switch takes its value with =: write --{before}={words[0]}")
    if words and positional is None:
        raise UsageProblem(f"unexpected word {words[0]!r}: this command takes flags only, as --flag=value")


def _instance(cls: type[T], tree: Sequence[Field], settings: Sequence[Setting]) -> T:
    """Hands the settings to absl one by one, so that a message can say where a bad value stands."""
    values, names = absl_flags.FlagValues(), {given.name for given in settings}
    define(cls, values, names)  # not all of them: that takes longer than all else here
    for given in settings:
        try:
            values([cls.__name__, f"--{given.name}={given.value}"])
        except (absl_flags.Error, ValueError) as error:
            message = given.where + str(error).removeprefix("flag ")
            raise UsageProblem("".join(c if c.isprintable() else repr(c)[1:-1] for c in message)) from None
    for field in tree:
        if field.default is dataclasses.MISSING and field.name not in names:
            raise UsageProblem(f"--{field.name} is needed: {field.meaning}")
    return _build(cls, {field.name: values[field.name].value if field.name in names else field.default
                        for field in tree})


def _build(cls: type[T], values: Mapping[str, Any], prefix: str = "") -> T:
    inner = parts(cls)
    return cls(**{field.name: _build(inner[field.name], values, f"{prefix}{field.name}.") if field.name in inner
                  else values[prefix + field.name] for field in dataclasses.fields(cls)})


def _other_architectures(instance: Any) -> set[str]:
    """Parts named as a choice of --architecture that is not the one chosen, and others that do nothing with it."""
    choice = typing.get_type_hints(type(instance)).get("architecture")
    names = set(typing.get_args(choice)) & set(parts(type(instance)))
    return names - {getattr(instance, "architecture", "")} | set(getattr(instance, "unused", ()))


def _refuse_other_architectures(instance: Any, settings: Sequence[Setting]) -> None:
    aside = _other_architectures(instance)
    for given in settings:
        part = given.name.partition(".")[0]
        if part in aside:
            other = f"choose --architecture={part}" if part not in getattr(instance, "unused", ()) else "choose another"
            raise UsageProblem(f"{given.where}--{given.name} does nothing with --architecture={instance.architecture}; "
                               f"leave it out, or {other}")
