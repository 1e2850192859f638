"""One training step, made once for a mesh: `step(state, batch) -> (state, sums)`.

A state is `{"params": ..., "optimizer": ..., "step": ...}`; the learning rate is schedule(step). Steps for parameters
that are all touched are in dense.py; `rows_step` is for word tables of which an update touches few rows: it gathers
them, asks the objective for their gradient and scatters the change, chunk after chunk inside one call, into tables that
are donated and never copied.

On a mesh with axes data, fsdp and tensor, `rows_step` splits the blocks of a chunk over `data` and the width of the
tables over the other two. Partial scores are added up over the width; each device gets the row gradients of the others
along `data` and applies all of them in the same order. So every topology does the same sums, nothing of a table's size
ever travels, and one device communicates nothing.
"""
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from embeddings import experiment
from embeddings.problems import UsageProblem
from embeddings.training.mesh import specification
from embeddings.training.optimizer import Schedule

Tree = Any
"""A pytree: parameters, a batch, a state."""

WATCHED = 4
"""Chunks of a call, its last ones, whose loss is reported: logarithms cost as much as the update."""

EPSILON = 1e-7


@runtime_checkable
class RowObjective(Protocol):
    """What `rows_step` asks of an objective; see objectives/words.py.

    It is a pytree: its arrays, constants such as a Huffman tree, are handed to the compiled step and not built into it.
    """

    def rows(self, chunk: Tree) -> Tree:
        """For each table the numbers of the rows that a chunk reads."""

    def loss(self, rows: Tree, chunk: Tree, total: Callable) -> dict:
        """Sums from those rows."""

    def gradient(self, rows: Tree, chunk: Tree, total: Callable, factor: Any) -> Tree:
        """The gradient by those rows, times a factor."""


class RowConstants(NamedTuple):
    """What a step over rows of tables is handed at every call."""

    objective: RowObjective
    rate: Schedule


@dataclasses.dataclass(frozen=True)
class Step:
    """A jitted step for one mesh, and what belongs to it."""

    update: Callable[[Tree, Tree, Tree], tuple[Tree, dict]]
    """(state, batch, constants) -> (state, sums), jitted; the state that goes in is used up."""
    parameters: Callable[[Tree], Tree]
    """The parameters in a state, as the model knows them."""
    new: Callable[[Tree], Tree]
    """A state from parameters."""
    mesh: Mesh
    split: tuple[str, ...]
    """Axes of the mesh along which a batch's arrays are split."""
    constants: Tree = ()
    """Arrays that no step changes, the same on every device. What stands here is no part of the compiled program."""
    axis: int = 1
    """Which axis of these arrays is split: 1 for the blocks of a chunk, 0 for rows."""

    def __call__(self, state: Tree, batch: Tree) -> tuple[Tree, dict]:
        """One step. The sums are on the device: reading them waits for it."""
        return self.update(state, batch, self._placed)

    @functools.cached_property
    def _placed(self) -> Tree:
        return self._put(self.constants, jax.tree.map(lambda _: NamedSharding(self.mesh, P()), self.constants))

    def state_shardings(self, state: Tree) -> Tree:
        """Where each leaf of a state, or of its shapes, lives."""
        return state_shardings(self.mesh, state)

    def batch_shardings(self, batch: Tree) -> Tree:
        """Where each leaf of a batch lives."""
        split = P(*(None,) * self.axis, self.split)
        return jax.tree.map(lambda a: NamedSharding(self.mesh, split if np.ndim(a) else P()), batch)

    def start(self, make: Callable[..., Tree], *arguments: Any) -> Tree:
        """The state at step 0, from `make(*arguments)`, each part made where it belongs: no device holds all of it."""
        shardings = self.state_shardings(self.shapes(make, *arguments))
        return jax.jit(lambda *a: self.new(make(*a)), out_shardings=shardings)(*arguments)

    def shapes(self, make: Callable[..., Tree], *arguments: Any) -> Tree:
        """Shapes and types of `start(make, *arguments)`, with nothing made."""
        return jax.eval_shape(lambda *a: self.new(make(*a)), *arguments)

    def place(self, batch: Tree) -> Tree:
        """A batch of numpy arrays on the devices of the mesh, each process putting its own part there."""
        return self._put(batch, self.batch_shardings(batch))

    def _put(self, arrays: Tree, shardings: Tree) -> Tree:
        if self.mesh.size == 1:
            return jax.device_put(arrays, shardings)
        return jax.tree.map(
            lambda a, s: jax.make_array_from_callback(np.shape(a), s, lambda index: np.asarray(a)[index]),
            arrays,
            shardings,
        )

    def lower(self, state: Tree, batch: Tree) -> jax.stages.Lowered:
        """The step lowered for shapes alone; the devices of the mesh need not be there."""

        def described(tree: Tree, shardings: Tree) -> Tree:
            return jax.tree.map(lambda a, s: jax.ShapeDtypeStruct(np.shape(a), a.dtype, sharding=s), tree, shardings)

        everywhere = jax.tree.map(lambda _: NamedSharding(self.mesh, P()), self.constants)
        return self.update.lower(
            described(state, self.state_shardings(state)),
            described(batch, self.batch_shardings(batch)),
            described(self.constants, everywhere),
        )


def state_shardings(mesh: Mesh, state: Tree) -> Tree:
    """Parameters, and what an optimizer keeps in their shape, by the table in mesh.py; what is smaller, everywhere."""

    def one(path: tuple, leaf: Any) -> NamedSharding:
        return NamedSharding(mesh, specification(path, leaf) if np.ndim(leaf) >= 2 else P())

    return jax.tree_util.tree_map_with_path(one, state)


def rows_step(objective: RowObjective, config: experiment.Optimizer, rate: Schedule, mesh: Mesh) -> Step:
    """The step for word tables `[V, D]`.

    With Adagrad the state holds tables `[V, 2, D]`: a row and, beside it, its sums of squares. Each place where a row
    stands in a chunk adds its own square and its own update, both from the sums before the chunk. The loss in `sums`
    is that of the last chunks of the call, of each before its update.

    Raises UsageProblem for an optimizer other than sgd and adagrad.
    """
    if config.name not in ("sgd", "adagrad"):
        raise UsageProblem(
            f"--optimizer.name={config.name} does not work on rows of word tables: choose sgd or adagrad"
        )
    adagrad = config.name == "adagrad"
    width = tuple(axis for axis in ("fsdp", "tensor") if mesh.shape[axis] > 1)
    data = "data" if mesh.shape["data"] > 1 else None
    body = rows_body(adagrad, data, width)

    def new(params: Tree) -> Tree:
        tables = jax.tree.map(lambda table: with_accumulator(table, config.accumulator), params) if adagrad else params
        return {"params": tables, "optimizer": (), "step": jnp.zeros((), jnp.int32)}

    def update(state: Tree, batch: Tree, constants: RowConstants) -> tuple[Tree, dict]:
        if mesh.size == 1:
            return body(state, batch, constants)
        of_state = jax.tree.map(lambda s: s.spec, state_shardings(mesh, state))
        of_batch = jax.tree.map(lambda a: P(None, data) if a.ndim else P(), batch)
        specs = {"in_specs": (of_state, of_batch, P()), "out_specs": (of_state, P())}
        return jax.shard_map(body, mesh=mesh, check_vma=False, **specs)(state, batch, constants)

    def parameters(state: Tree) -> Tree:
        return without_accumulators(config, state["params"])

    constants = RowConstants(objective, rate)
    return Step(jax.jit(update, donate_argnums=0), parameters, new, mesh, ("data",), constants)


def with_accumulator(table: jax.Array, start: float) -> jax.Array:
    """`[V, D]` -> `[V, 2, D]`: Adagrad's sums of squares beside each row, so that one gather reads both."""
    return jnp.stack([table, jnp.full_like(table, start)], axis=1)


def without_accumulators(config: experiment.Optimizer, tables: Tree) -> Tree:
    """The parameters among what `rows_step` keeps for an optimizer."""
    return jax.tree.map(lambda table: table[:, 0], tables) if config.name == "adagrad" else tables


def rows_body(
    adagrad: bool, data: str | None = None, width: tuple[str, ...] = ()
) -> Callable[[Tree, Tree, RowConstants], tuple[Tree, dict]]:
    """The step as one device of `data` x `width` sees it, for jax.shard_map or jax.pmap; by itself where there is one.

    It takes the device's part of the width of the tables and of the blocks of each chunk.
    """

    def total(x: jax.Array) -> jax.Array:
        return jax.lax.psum(x, width) if width else x

    def everybodys(x: jax.Array) -> jax.Array:
        return jax.lax.all_gather(x, data, tiled=True) if data else x

    def change(
        objective: RowObjective, values: Tree, squares: Tree, chunk: Tree, learning_rate: jax.Array
    ) -> Tree:
        if not adagrad:
            return objective.gradient(values, chunk, total, -learning_rate)
        gradient = objective.gradient(values, chunk, total, 1.0)
        return jax.tree.map(lambda g, s: adagrad_change(g, s, learning_rate), gradient, squares)

    def body(state: Tree, batch: Tree, constants: RowConstants) -> tuple[Tree, dict]:
        objective, learning_rate = constants.objective, constants.rate(state["step"])

        def unwatched(n: jax.Array, tables: Tree) -> Tree:
            chunk = batch.chunk(n)
            ids = objective.rows(chunk)
            rows = jax.tree.map(read, tables, ids)
            values, squares = (jax.tree.map(lambda r, i=i: r[..., i, :], rows) if adagrad else rows for i in (0, 1))
            changes = change(objective, values, squares, chunk, learning_rate)
            return jax.tree.map(add, tables, *(jax.tree.map(everybodys, x) for x in (ids, changes)))

        def watched(n: jax.Array, carry: tuple[Tree, dict]) -> tuple[Tree, dict]:
            tables, sums = carry
            chunk = batch.chunk(n)
            rows = jax.tree.map(read, tables, objective.rows(chunk))
            values = jax.tree.map(lambda r: r[..., 0, :], rows) if adagrad else rows
            return unwatched(n, tables), jax.tree.map(jnp.add, sums, objective.loss(values, chunk, total))

        last = jnp.maximum(batch.chunks - WATCHED, 0)
        tables = jax.lax.fori_loop(0, last, unwatched, state["params"])
        sums = {"loss": (jnp.zeros(()), jnp.zeros(()))}
        tables, sums = jax.lax.fori_loop(last, batch.chunks, watched, (tables, sums))
        sums = jax.lax.psum(sums, data) if data else sums
        return {"params": tables, "optimizer": (), "step": state["step"] + 1}, sums

    return body


def read(table: jax.Array, ids: jax.Array) -> jax.Array:
    """Rows of a table; the numbers are known to be in it."""
    return table.at[ids].get(mode="promise_in_bounds", wrap_negative_indices=False)


def add(table: jax.Array, ids: jax.Array, changes: jax.Array) -> jax.Array:
    """The table with a change added to each row that is named, as often as it is named."""
    return table.at[ids].add(changes, mode="promise_in_bounds", wrap_negative_indices=False)


def adagrad_change(gradient: jax.Array, squares: jax.Array, learning_rate: jax.Array) -> jax.Array:
    """`[..., 2, D]`: what is added to a row and to its sums of squares (Duchi, Hazan, Singer 2011)."""
    square = gradient**2
    return jnp.stack([-learning_rate * gradient * jax.lax.rsqrt(squares + square + EPSILON), square], axis=-2)
