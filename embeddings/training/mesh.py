"""Where every array lives: one mesh of all devices, and one visible table from parameter names to shardings.

Axes: `data` splits a batch; `fsdp` splits a batch and parameters; `tensor` splits the width of a layer or a table.
Word tables are split by width over fsdp and tensor together, so that each device holds some columns of every word and
only partial scores, never tables, travel. The classes of a softmax are split by rows instead, so that each device has
the scores of some words, and only sums of their exponentials travel.
"""
import fnmatch
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.sharding import PartitionSpec as P

from embeddings import experiment
from embeddings.problems import UsageProblem

AXES = ("data", "fsdp", "tensor")

PARAMETERS = {
    # Path of a leaf below the state, with `*` for any part of it, and how its axes are split; the first match holds.
    "*bias*": P(),
    "*attention/output/kernel": P(None, "tensor", None, "fsdp"),  # [L, H, K, D]
    "*attention/*/kernel": P(None, "fsdp", "tensor", None),  # [L, D, H, K]
    "*cross/output/kernel": P(None, "tensor", None, "fsdp"),
    "*cross/*/kernel": P(None, "fsdp", "tensor", None),
    "*feed_forward/input/kernel": P(None, "fsdp", "tensor"),  # [L, D, F]
    "*feed_forward/output/kernel": P(None, "tensor", "fsdp"),  # [L, F, D]
    "*classes*": P(("fsdp", "tensor"), None),
    "*narrow*": P(),
    "*word*": P(None, ("fsdp", "tensor")),
    "*context*": P(None, ("fsdp", "tensor")),
    "*input*": P(None, ("fsdp", "tensor")),
    "*output*": P(None, ("fsdp", "tensor")),
    "*": P(),
}


def make(config: experiment.Mesh, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of all `devices` (default: those of every process), axes `data`, `fsdp` and `tensor`.

    Raises UsageProblem when the sizes asked for do not multiply to the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    rest = config.fsdp * config.tensor
    data = len(devices) // rest if config.data == -1 else config.data
    if data < 1 or data * rest != len(devices):
        raise UsageProblem(
            f"--mesh.data={config.data} --mesh.fsdp={config.fsdp} --mesh.tensor={config.tensor} do not multiply to the "
            f"{len(devices)} devices here: change one of them"
        )
    shape = (data, config.fsdp, config.tensor)
    return Mesh(np.asarray(devices).reshape(shape), AXES, axis_types=(AxisType.Auto,) * len(AXES))


def specification(path: tuple, leaf: Any) -> P:
    """How the table above splits one leaf of the state; a scalar is never split."""
    if not leaf.ndim:
        return P()
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    found = next(spec for pattern, spec in PARAMETERS.items() if fnmatch.fnmatch(name, pattern))
    if leaf.ndim < len(found):
        return P()  # what an optimizer keeps by row or by column; layers that are not stacked
    # What splits an axis of the parameter splits the same, last, axis of an accumulator stacked beside it.
    return P(*(None,) * (leaf.ndim - len(found)), *found) if len(found) < leaf.ndim else found


def check(mesh: Mesh, tree: Any, flag: str) -> None:
    """Raises UsageProblem, naming `flag`, when an axis of a leaf is not divisible by the devices that split it."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        for size, axes in zip(leaf.shape, specification(path, leaf), strict=False):
            names = (axes,) if isinstance(axes, str) else axes or ()
            parts = int(np.prod([mesh.shape[name] for name in names]))
            if size % parts:
                raise UsageProblem(
                    f"{flag}={size} cannot be split over {parts} devices: change it or "
                    + " or ".join(f"--mesh.{name}" for name in names)
                )
