"""Word tables trained as several copies side by side, each on a core of its own, and merged after every batch.

A row step is a chain of small operations, of which a second core can take nothing: a second copy of the tables gives it
chunks of its own. Copies start each batch alike, chunk c goes to copy c modulo R, and what they changed is added up
row by row as Adasum does (Maleki et al. 2021, "Scaling Distributed Training with Adaptive Summation", eq. 3): with a
and b what two copies changed of a row,

    (1 - a . b / (2 |a|^2)) a + (1 - a . b / (2 |b|^2)) b

which is their sum where they went different ways, as for rows that few words touch, and their mean where they went the
same way, as for rows that both moved as far as they would go. It is not the same training as that of one copy, and not
exact: `--train.replicas` is 1 unless somebody asks. It is the same each time.
"""
import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from embeddings.problems import UsageProblem
from embeddings.training.job import Job
from embeddings.training.step import Step

Tree = Any
AT_ONCE = 512
"""Rows of a table that are merged at a time."""


@dataclasses.dataclass(frozen=True)
class ReplicaStep(Step):
    """A row step on each of several devices, the first that of the mesh."""

    devices: tuple[jax.Device, ...] = ()
    stacked: bool = False
    """Whether a table is `[V, 2, D]`, a row and Adagrad's sums of squares of it."""

    def __call__(self, state: Tree, batch: Tree) -> tuple[Tree, dict]:
        """One step of each copy, and the merge."""
        copies = [jax.device_put(state, device, may_alias=False) for device in self.devices]
        done = [self.update(*each) for each in zip(copies, batch, self._everywhere, strict=True)]
        sums = jax.tree.map(lambda *s: sum(jax.device_put(x, self.devices[0]) for x in s), *(s for _, s in done))
        params = [jax.device_put(copy["params"], self.devices[0]) for copy, _ in done]
        return {**done[0][0], "params": merged(state["params"], params, self.stacked)}, sums

    @functools.cached_property
    def _everywhere(self) -> list[Tree]:
        return [jax.device_put(self.constants, device) for device in self.devices]

    def place(self, batch: Tree) -> list[Tree]:
        """A batch's chunks dealt to the copies."""
        return [jax.device_put(dealt(batch, r, len(self.devices)), device) for r, device in enumerate(self.devices)]


def dealt(batch: Tree, r: int, copies: int) -> Tree:
    """Every so manyth chunk of a batch of numpy arrays, from chunk r on."""
    rest = -len(batch[0]) % copies

    def own(array: np.ndarray) -> np.ndarray:
        if not array.ndim:
            return array
        return np.ascontiguousarray(np.pad(array, ((0, rest), *((0, 0),) * (array.ndim - 1)))[r::copies])

    return type(batch)(*map(own, batch))._replace(chunks=np.int32((int(batch.chunks) - r + copies - 1) // copies))


@functools.partial(jax.jit, static_argnums=2, donate_argnums=0)
def merged(start: Tree, copies: list[Tree], stacked: bool) -> Tree:
    """What the copies changed, added to what they started from."""

    def put_together(rows: Array, *after: Array) -> Array:
        changes = [copy - rows for copy in after]
        if not stacked:
            return rows + functools.reduce(adasum, changes)
        values, squares = ([change[:, i] for change in changes] for i in (0, 1))
        return rows + jnp.stack([functools.reduce(adasum, values), sum(squares)], axis=1)

    def one(table: Array, *after: Array) -> Array:
        def part(at: Array | int, size: int, table: Array) -> Array:
            own = [jax.lax.dynamic_slice_in_dim(whole, at, size) for whole in (table, *after)]
            return jax.lax.dynamic_update_slice_in_dim(table, put_together(*own), at, 0)

        # Some rows at a time, so that they are read from memory once; the last ones by themselves.
        whole, rest = divmod(len(table), AT_ONCE)
        if whole:
            table = jax.lax.fori_loop(0, whole, lambda n, table: part(n * AT_ONCE, AT_ONCE, table), table)
        return part(whole * AT_ONCE, rest, table) if rest else table

    return jax.tree.map(one, start, *copies)


def adasum(a: Float[Array, "V D"], b: Float[Array, "V D"]) -> Float[Array, "V D"]:
    """Changes of rows put together."""
    dot, aa, bb = (jnp.sum(x * y, axis=1, keepdims=True) for x, y in ((a, b), (a, a), (b, b)))
    half = dot / 2
    return (1 - half / jnp.where(aa > 0, aa, jnp.inf)) * a + (1 - half / jnp.where(bb > 0, bb, jnp.inf)) * b


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
