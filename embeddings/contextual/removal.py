"""Smaller models: layers without some of their heads.

A head whose mask is 0 adds nothing, so its columns of W^Q, W^K, W^V and its rows of W^O can go: `removed`. Layers may
then have different numbers of heads (transformer.Config.kept). `filled` goes the other way, with zeros in their place,
which is what programs without pruned heads open.
"""
import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from embeddings.contextual.model import Contextual
from embeddings.problems import UsageProblem

Place = tuple[int, int]
"""Layer and head, from 0."""
Kept = tuple[tuple[int, ...], ...]
"""Of each layer, the heads that are left, numbered as before any was removed."""


def heads(model: Contextual) -> Kept:
    """All heads of a model."""
    stack = model.config.stack
    return stack.kept or (tuple(range(stack.heads)),) * stack.layers


def kept(model: Contextual, pruned: Sequence[Place]) -> Kept:
    """What is left of each layer. Raises UsageProblem where a head is not there."""
    there = heads(model)
    for layer, head in pruned:
        if not (0 <= layer < len(there) and head in there[layer]):
            raise UsageProblem(f"no head {layer}.{head} to prune: layers 0 to {len(there) - 1}, heads 0 to "
                               f"{model.config.stack.heads - 1}")
    gone = set(pruned)
    return tuple(tuple(head for head in some if (layer, head) not in gone) for layer, some in enumerate(there))


def removed(model: Contextual, left: Kept) -> Contextual:
    """The smaller model of the heads that are left."""
    there = heads(model)
    layers = [_cut(_layer(model, n), [there[n].index(head) for head in some]) for n, some in enumerate(left)]
    return _with(model, dataclasses.replace(model.config.stack, kept=left), layers)


def filled(model: Contextual) -> Contextual:
    """The model with zeros for the heads that were removed, with equal outputs."""
    stack = model.config.stack
    if not stack.kept:
        return model
    layers = []
    for n, some in enumerate(stack.kept):
        layer = _layer(model, n)
        attention = {part: {name: _spread(np.asarray(leaf), stack.heads, some, _axis(part, name))
                            for name, leaf in leaves.items()} for part, leaves in layer["attention"].items()}
        layers.append(layer | {"attention": attention})
    return _with(model, dataclasses.replace(stack, kept=()), layers)


def parameters(model: Contextual) -> int:
    """How many numbers a model has."""
    return sum(int(np.size(leaf)) for leaf in jax.tree.leaves(model.params))


def _layer(model: Contextual, number: int) -> Any:
    layers = model.params["transformer"]["layers"]
    return layers[number] if isinstance(layers, tuple) else jax.tree.map(lambda leaf: leaf[number], layers)


def _axis(part: str, name: str) -> int | None:
    """Which axis of a leaf of attention is heads: kernels are [D, H, K], of the output [H, K, D], biases [H, K]."""
    if part == "output":
        return 0 if name == "kernel" else None
    return 1 if name == "kernel" else 0


def _cut(layer: Any, which: Sequence[int]) -> Any:
    attention = {part: {name: np.asarray(leaf) if _axis(part, name) is None
                        else np.take(np.asarray(leaf), list(which), axis=_axis(part, name))
                        for name, leaf in leaves.items()} for part, leaves in layer["attention"].items()}
    return layer | {"attention": attention}


def _spread(leaf: np.ndarray, number: int, some: Sequence[int], axis: int | None) -> np.ndarray:
    if axis is None:
        return leaf
    out = np.zeros((*leaf.shape[:axis], number, *leaf.shape[axis + 1 :]), leaf.dtype)
    out[(slice(None),) * axis + (list(some),)] = leaf
    return out


def _with(model: Contextual, stack: Any, layers: Sequence[Any]) -> Contextual:
    """The model with other layers, stacked where they have equally many heads."""
    together = jax.tree.map(lambda *leaves: np.stack(leaves), *layers) if stack.equal else tuple(layers)
    transformer = {**model.params["transformer"], "layers": together}
    return dataclasses.replace(model, config=dataclasses.replace(model.config, stack=stack),
                               params={**model.params, "transformer": transformer})
