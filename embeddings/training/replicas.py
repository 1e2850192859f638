"""Word tables trained as several copies side by side, each on a core of its own, and merged after every batch.

A row step is a chain of small operations, of which a second core can take nothing: a second copy of the tables gives it
chunks of its own. Copies start each batch alike, chunk c goes to copy c modulo R, and what the copies changed of a row,
d_1 .. d_R, is added to it as

    w (d_1 + ... + d_R),   w = 1/R + (1 - 1/R) k / (k + m),   k = SETTLED

where m is how often the batch reads the row. A row that is read a few times gets all changes, as if one copy had made
them one after the other; one that is read so often that every copy moves it as far as it would go gets their mean.
(Adasum, Maleki et al. 2021, finds out by the angle between the changes which it is: scores are the same, and the sums
along rows that it needs took a fifth of a batch's time; LOG.md.) It is not the same training as that of one copy, and
not exact: `--train.replicas` is 1 unless somebody asks. It is the same each time.

Only the rows that a batch touches are read for that, and the copies stay where they are: a state holds the first one.

Shapes: V rows of a table, n of them that a batch touches, D width.
"""
import contextlib
import dataclasses
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from embeddings.problems import UsageProblem
from embeddings.training.job import Job
from embeddings.training.step import RowObjective, Step

Tree = Any
SETTLED = 64
"""Reads of a row in a batch at which half of what sets a mean apart from a sum is left."""
SMALLEST = 4096
"""Rows that a batch is taken to touch at least; see `padded`."""
NOBODY = np.iinfo(np.int32).max
"""By what: the number of no row."""


class Dealt(NamedTuple):
    """A batch, on each device its own part."""

    parts: list[Tree]
    touched: list[Tree]
    """For each table the rows that any part touches, on every device; see `distinct`."""
    weights: Tree
    """For each table the weights of their changes, where they are merged."""


@dataclasses.dataclass(frozen=True)
class ReplicaStep(Step):
    """A row step on each of several devices, the first that of the mesh."""

    devices: tuple[jax.Device, ...] = ()
    stacked: bool = False
    """Whether a table is `[V, 2, D]`, a row and Adagrad's sums of squares of it."""
    _kept: list[tuple[Tree, list[Tree]]] = dataclasses.field(default_factory=list, repr=False)
    """The first copy's tables, as they were given back last, and the others', which equal them."""

    def __call__(self, state: Tree, batch: Dealt) -> tuple[Tree, dict]:
        """One step of each copy, and the merge."""
        first, devices, touched = state["params"], self.devices[1:], batch.touched
        kept = self._kept.pop() if self._kept else (None, [])
        others = kept[1] if kept[0] is first else [jax.device_put(first, device, may_alias=False) for device in devices]
        states = [{**jax.device_put({**state, "params": ()}, device), "params": other}
                  for device, other in zip(devices, others, strict=True)]
        start = taken(first, touched[0])

        def train(r: int) -> tuple[Tree, dict, Tree]:
            done, sums = self.update([state, *states][r], batch.parts[r], self._everywhere[r])
            return jax.block_until_ready((done, sums, taken(done["params"], touched[r]) if r else None))

        trained = list(self._threads.map(train, range(len(self.devices))))
        done = trained[0][0]
        sums = jax.tree.map(lambda *s: sum(jax.device_put(x, self.devices[0]) for x in s), *(s for _, s, _ in trained))
        after = [jax.device_put(rows, self.devices[0]) for *_, rows in trained[1:]]
        first, rows = merged(done["params"], touched[0], start, after, batch.weights)
        others = [put(other["params"], at, jax.device_put(rows, device))
                  for (other, *_), at, device in zip(trained[1:], touched[1:], devices, strict=True)]
        self._kept.append((first, others))
        return {**done, "params": first}, sums

    @functools.cached_property
    def _threads(self) -> ThreadPoolExecutor:
        """One a copy, each waiting for its own: two calls under way from one thread disturb each other (LOG.md)."""
        return ThreadPoolExecutor(len(self.devices), thread_name_prefix="copy")

    @functools.cached_property
    def _everywhere(self) -> list[Tree]:
        return [jax.device_put(self.constants, device) for device in self.devices]

    def place(self, batch: Tree) -> Dealt:
        """A batch's chunks dealt to the copies, and the rows that they touch."""
        copies = len(self.devices)
        parts = [jax.device_put(dealt(batch, r, copies), device) for r, device in enumerate(self.devices)]
        tables, tree = jax.tree.flatten(named(self.constants.objective, batch))
        rows, reads = zip(*map(distinct, tables), strict=True)
        weights = [weight(n, copies, self.stacked) for n in reads]
        touched = [jax.device_put(tree.unflatten(rows), device) for device in self.devices]
        return Dealt(parts, touched, jax.device_put(tree.unflatten(weights), self.devices[0]))


def dealt(batch: Tree, r: int, copies: int) -> Tree:
    """Every so manyth chunk of a batch of numpy arrays, from chunk r on."""
    rest = -len(batch[0]) % copies

    def own(array: np.ndarray) -> np.ndarray:
        if not array.ndim:
            return array
        return np.ascontiguousarray(np.pad(array, ((0, rest), *((0, 0),) * (array.ndim - 1)))[r::copies])

    return type(batch)(*map(own, batch))._replace(chunks=np.int32((int(batch.chunks) - r + copies - 1) // copies))


@jax.jit
def named(objective: RowObjective, batch: Tree) -> Tree:
    """For each table the rows that a batch reads, as often as it does."""
    return jax.vmap(lambda n: objective.rows(batch.chunk(n)))(jnp.arange(len(batch[0])))


def distinct(
    rows: Int[Array | np.ndarray, "..."],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """The different ones, ascending, then NOBODY as often as `padded` says; and how often each stands there."""
    reads = np.bincount(np.asarray(rows).reshape(-1))
    found = np.flatnonzero(reads).astype(np.int32)
    rest = (0, padded(len(found)) - len(found))
    return np.pad(found, rest, constant_values=NOBODY), np.pad(reads[found], rest)


def padded(rows: int) -> int:
    """Room for so many rows: four sizes between a power of two and the next, so that few programs are compiled."""
    step = max(SMALLEST, 1 << max(rows - 1, 1).bit_length() >> 3)
    return -(-rows // step) * step


def weight(reads: Int[np.ndarray, "n"], copies: int, stacked: bool) -> Float[np.ndarray, "n *stacked 1"]:
    """What the changes of a row are multiplied by, by how often it is read; Adagrad's sums of squares are added."""
    share = 1 / copies + (1 - 1 / copies) * SETTLED / (SETTLED + reads.astype(np.float32))
    return (np.stack([share, np.ones_like(share)], axis=1) if stacked else share)[..., None]


@jax.jit
def taken(tables: Tree, rows: Tree) -> Tree:
    """Rows of each table; of NOBODY some row."""
    return jax.tree.map(_read, tables, rows)


@functools.partial(jax.jit, donate_argnums=0)
def put(tables: Tree, rows: Tree, values: Tree) -> Tree:
    """The tables with values in the place of rows; those of NOBODY go nowhere."""
    return jax.tree.map(_written, tables, rows, values)


def _read(table: Array, rows: Array) -> Array:
    return table.at[rows].get(mode="clip", wrap_negative_indices=False, indices_are_sorted=True)


def _written(table: Array, rows: Array, values: Array) -> Array:
    return table.at[rows].set(values, mode="drop", wrap_negative_indices=False, indices_are_sorted=True)


@functools.partial(jax.jit, donate_argnums=(0, 2))
def merged(tables: Tree, rows: Tree, start: Tree, after: list[Tree], weights: Tree) -> tuple[Tree, Tree]:
    """The first copy's tables with what all changed of the rows, added to what they started from; and these rows.

    Args:
        tables: the first copy's.
        rows: which ones the batch touches.
        start: those rows before the batch.
        after: those rows of the other copies.
        weights: of their changes; see `weight`.
    """

    def one(table: Array, at: Array, start: Array, weight: Array, *after: Array) -> tuple[Array, Array]:
        changed = sum((copy - start for copy in after), _read(table, at) - start)
        new = start + weight * changed
        return _written(table, at, new), new

    both = [one(*each) for each in zip(*(jax.tree.leaves(x) for x in (tables, rows, start, weights)),
                                       *(jax.tree.leaves(x) for x in after), strict=True)]
    tree = jax.tree.structure(tables)
    return tree.unflatten([table for table, _ in both]), tree.unflatten([new for _, new in both])


def leave_cores_to_copies() -> None:
    """Has the thread that asks for a copy's update do it, and XLA's own threads run where a core is idle (on Linux).

    With several devices XLA gives some operations of an update to a pool of threads. They are so small that handing
    them over takes longer than doing them, and the pool takes the core of another copy for it (LOG.md). To be called
    before anything else starts JAX's devices.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    jax.devices()  # starts the pool
    for thread in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):  # it has ended, or may not be changed
            if (thread / "comm").read_text().startswith("tf_XLAEigen"):
                os.sched_setscheduler(int(thread.name), os.SCHED_IDLE, os.sched_param(0))


def side_by_side(job: Job, copies: int, adagrad: bool) -> Job:
    """The job with so many copies of its tables. Raises UsageProblem where there are fewer devices here."""
    if copies == 1:
        return job
    devices = tuple(jax.local_devices()[:copies])
    if len(devices) < copies:
        raise UsageProblem(f"--train.replicas={copies}: there are {len(devices)} devices here: lower it")
    step = ReplicaStep(**{field.name: getattr(job.step, field.name) for field in dataclasses.fields(Step)},
                       devices=devices, stacked=adagrad)
    return dataclasses.replace(job, step=step)
