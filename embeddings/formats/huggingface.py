"""Folders of Hugging Face's transformers, in and out: config.json and weights.

families.py says which models are known, tasks.py which heads beside them.
"""
import dataclasses
import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from embeddings.files import write_whole
from embeddings.formats import tasks, tensors
from embeddings.formats.families import FAMILIES, Config, Family, Leaf
from embeddings.formats.tasks import TaskHead
from embeddings.problems import Problem

CONFIG = "config.json"
LAYERS = "transformer/layers/"
Params = Any
_SHOWN = 8
_OLD_NAMES = {".gamma": ".weight", ".beta": ".bias"}


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model of a folder."""

    family: str
    """Its model_type."""
    config: Config
    params: Params
    """As the model's init makes them, in numpy."""
    unused: tuple[str, ...] = ()
    """Tensors that were not read: heads of other tasks."""
    head: TaskHead | None = None
    """Of a task that is known."""


def read_config(folder: Path) -> dict[str, Any]:
    """What config.json says. Raises Problem where it is missing, broken, or of a model that is not known here."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
        family = config["model_type"]
    except FileNotFoundError:
        raise Problem(f"{path}: no such file: name the folder of a model as transformers saves it") from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Problem(f"{path}: no configuration of a model ({error!r}): copy it again") from None
    if family not in FAMILIES:
        raise Problem(f"{path}: model_type {family!r} is not known here, only {', '.join(FAMILIES)}")
    return config


def read(folder: Path) -> Loaded:
    """A model: configuration and weights.

    Raises Problem for what config.json has that is not known here, and, naming all at once, for tensors that are
    missing, have another shape than config.json says, or hold numbers that are not finite. A head is read where
    config.json names the class of one that is known.
    """
    theirs = read_config(folder)
    family = FAMILIES[theirs["model_type"]]
    try:
        config = family.read(theirs)
    except (ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise Problem(f"{folder / CONFIG}: {what}: this is no model that is known here") from None
    head = tasks.named(theirs, family, folder / CONFIG)
    found = tensors.Tensors(folder)
    names = {_canonical(name, family): name for name in found}
    of_head = {_canonical(leaf.theirs, family) for leaf in (head.leaves() if head else ())}
    there = {leaf.ours.partition("/")[0] for leaf in family.leaves(0) if leaf.theirs in names.keys() - of_head}
    config = _with(config, there)
    shapes = leaf_shapes(family, config) | (head.shapes(config.stack.width) if head else {})
    leaves = [leaf._replace(theirs=_canonical(leaf.theirs, family)) for leaf in _leaves(family, config, head)
              if leaf.ours in shapes]
    _check(folder, found, names, leaves, shapes, family)
    arrays: dict[str, list[np.ndarray]] = {}
    for leaf in leaves:
        array = found[names[leaf.theirs]]
        if not np.isfinite(array).all():
            file = found.file(names[leaf.theirs])
            raise Problem(f"{file}: {names[leaf.theirs]} has numbers that are not finite: copy the file again")
        arrays.setdefault(leaf.ours, []).append(leaf.read(array, shapes[leaf.ours]))
    whole = {path: np.stack(some) if path.startswith(LAYERS) else some[0] for path, some in arrays.items()}
    known = {leaf.theirs for leaf in leaves} | {family.tied}
    unused = tuple(sorted(name for canonical, name in names.items() if canonical not in known))
    params = nested(whole)
    head = head and dataclasses.replace(head, params=params.pop("task"))
    return Loaded(theirs["model_type"], config, params, unused, head)


def _with(config: Config, there: Collection[str]) -> Config:
    """The configuration with those optional parts that are there, and no others."""
    optional = {part: part in there for part in ("pooler", "predictions") if hasattr(config, part)}
    return dataclasses.replace(config, **optional)


def _leaves(family: Family, config: Config, head: TaskHead | None) -> tuple[Leaf, ...]:
    """All that a model can have, and its head."""
    return (*family.leaves(config.stack.layers), *(head.leaves() if head else ()))


def _canonical(name: str, family: Family) -> str:
    """A tensor's name as the tables have it: without the prefix of models with a head, and as norms are called now."""
    for old, new in _OLD_NAMES.items():
        name = name.removesuffix(old) + new if name.endswith(old) else name
    return name.removeprefix(family.prefix)


def leaf_shapes(family: Family, config: Config) -> dict[str, tuple[int, ...]]:
    """The shape of each leaf of our parameters by its path; of stacked layers, that of one."""
    tree = jax.eval_shape(lambda: family.model.init(jax.random.key(0), config))
    flat = jax.tree_util.tree_leaves_with_path(tree)
    shapes = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in flat}
    return {path: shape[1:] if path.startswith(LAYERS) else shape for path, shape in shapes.items()}


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of dictionaries from leaves by path."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *branches, last = path.split("/")
        branch = tree
        for name in branches:
            branch = branch.setdefault(name, {})
        branch[last] = leaf
    return tree


def _check(
    folder: Path,
    found: tensors.Tensors,
    names: Mapping[str, str],
    leaves: list[Leaf],
    shapes: Mapping[str, tuple[int, ...]],
    family: Family,
) -> None:
    """Raises Problem for tensors that are not as the configuration says."""
    wrong = []
    for leaf in leaves:
        shape = leaf.shape(shapes[leaf.ours])
        if leaf.theirs not in names:
            wrong.append(f"{leaf.theirs} is missing")
        elif found.shape(names[leaf.theirs]) != shape:
            wrong.append(f"{names[leaf.theirs]} is {list(found.shape(names[leaf.theirs]))} instead of {list(shape)}")
    expected = {leaf.theirs for leaf in leaves}
    in_layers = [re.escape(e.theirs).replace(r"\{l\}", r"\d+") + r"\.\w+" for e in family.table if "{l}" in e.theirs]
    more = [name for name in names if name not in expected and re.fullmatch("|".join(in_layers), name)]
    wrong += [f"{names[name]} is of a layer too many" for name in more]
    words = next(leaf.theirs for leaf in leaves if leaf.ours == "words")
    if not wrong and family.tied in names and not np.array_equal(found[names[family.tied]], found[names[words]]):
        wrong.append(f"{names[family.tied]} is not the word table, and no other one is known for the output")
    if wrong:
        wrong = list(dict.fromkeys(wrong))
        rest = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Problem(f"{folder}: the weights are not as {CONFIG} says, copy both again: {'; '.join(wrong[:_SHOWN])}"
                      f"{rest}")


def write(
    folder: Path, family: str, config: Config, params: Params, special: Mapping[str, int | None] | None = None,
    head: TaskHead | None = None,
) -> None:
    """Writes config.json and model.safetensors, which transformers opens. All layers must have all their heads.

    `special` are ids of special tokens by their names in config.json, where these are the tokenizer's to say. With a
    `head` the class is that of its task, which has neither predictions of words nor a pooler but in its head: these are
    left out.
    """
    kind = FAMILIES[family]
    if head:
        config = _with(config, ())
    shapes = leaf_shapes(kind, config) | (head.shapes(config.stack.width) if head else {})
    flat = jax.tree_util.tree_leaves_with_path(params | ({"task": head.params} if head else {}))
    arrays = {jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf) for path, leaf in flat}
    heads = head is not None or "predictions" in params or kind.model.__name__.endswith("gpt")
    written: dict[str, list[np.ndarray]] = {}
    for leaf in _leaves(kind, config, head):
        if leaf.ours in shapes:
            array = arrays[leaf.ours] if leaf.layer is None else arrays[leaf.ours][leaf.layer]
            outside = leaf.ours.startswith(("predictions", "task/")) or not heads
            written.setdefault(leaf.theirs if outside else kind.prefix + leaf.theirs, []).append(leaf.written(array))
    name = tasks.class_name(kind, head.task) if head else kind.whole if heads else kind.bare
    settings = {"model_type": family, "architectures": [name], **kind.write(config), **(head.written() if head else {})}
    settings |= {name: special[name] for name in kind.special if special and name in special}
    tensors.write(folder, {name: np.concatenate(some, axis=-1) for name, some in written.items()})
    write_whole(folder / CONFIG, json.dumps(settings, indent=2) + "\n")
