"""Steps for parameters that are all touched: a gradient by jax.grad, an update by optax.

`dense_step` is for word tables; `sequence_step` for models of rows of tokens, which it may go through in chunks: the
gradients of sums add up, so any number of chunks gives the gradient of the whole batch. What a row drops depends on
the row, the step and the seed alone (models/dropout.py).
"""
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from embeddings.models.dropout import Keys, row_keys
from embeddings.training.step import Step, state_shardings

Tree = Any


def dense_step(loss: Callable[[Tree, Tree], dict], optimizer: optax.GradientTransformation, mesh: Mesh) -> Step:
    """The step for parameters that are all touched: the gradient of loss sum / weight, through an optax optimizer.

    A batch is split over `data` alone: split over `fsdp` too, beside tables whose width is split over it, XLA's
    partitioner (JAX 0.10) compiles a program with another loss; the invariance suite found it.
    """

    def new(params: Tree) -> Tree:
        return {"params": params, "optimizer": optimizer.init(params), "step": jnp.zeros((), jnp.int32)}

    def update(state: Tree, batch: Tree, constants: Tree) -> tuple[Tree, dict]:
        def mean(params: Tree) -> tuple[jax.Array, dict]:
            sums = loss(params, batch)
            value, weight = sums["loss"]
            return value / jnp.maximum(weight, 1), sums

        gradient, sums = jax.grad(mean, has_aux=True)(state["params"])
        changes, kept = optimizer.update(gradient, state["optimizer"], state["params"])
        params = optax.apply_updates(state["params"], changes)
        state = {"params": params, "optimizer": kept, "step": state["step"] + 1}
        return jax.lax.with_sharding_constraint(state, state_shardings(mesh, state)), sums

    return Step(jax.jit(update, donate_argnums=0), lambda state: state["params"], new, mesh, ("data",))


def sequence_step(
    loss: Callable[[Tree, Tree, Keys | None], dict],
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    *,
    chunks: int = 1,
    seed: int = 0,
    dropout: bool = True,
) -> Step:
    """The step for a loss of (params, batch, key of each row); a batch's arrays are `[B, ...]`, or of no axis.

    Args:
        loss: gives {name: (sum, weight)}; the gradient is that of `loss` sum / weight over the whole batch.
        optimizer: of optax.
        mesh: rows are split over data and fsdp.
        chunks: parts that a batch is gone through in, one after the other; divides B.
        seed: of what is dropped.
        dropout: whether something is.
    """

    def new(params: Tree) -> Tree:
        return {"params": params, "optimizer": optimizer.init(params), "step": jnp.zeros((), jnp.int32)}

    def one(params: Tree, batch: Tree, keys: Keys | None) -> tuple[Tree, dict]:
        def total(params: Tree) -> tuple[jax.Array, dict]:
            sums = loss(params, batch, keys)
            return sums["loss"][0], sums

        return jax.grad(total, has_aux=True)(params)

    def update(state: Tree, batch: Tree, constants: Tree) -> tuple[Tree, dict]:
        params = state["params"]
        rows = next(a.shape[0] for a in jax.tree.leaves(batch) if a.ndim)
        key = jax.random.fold_in(jax.random.key(seed), state["step"])
        keys = row_keys(key, rows) if dropout else None
        if chunks == 1:
            gradient, sums = one(params, batch, keys)
        else:
            parts = jax.tree.map(lambda a: split(a, chunks), (batch, keys))
            shapes = jax.eval_shape(one, params, *jax.tree.map(lambda a: a[0], parts))
            nothing = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)

            def more(carry: Tree, part: Tree) -> tuple[Tree, None]:
                return jax.tree.map(jnp.add, carry, one(params, *part)), None

            (gradient, sums), _ = jax.lax.scan(more, nothing, parts)
        gradient = jax.tree.map(lambda g: g / jnp.maximum(sums["loss"][1], 1e-9), gradient)
        changes, kept = optimizer.update(gradient, state["optimizer"], params)
        state = {"params": optax.apply_updates(params, changes), "optimizer": kept, "step": state["step"] + 1}
        return jax.lax.with_sharding_constraint(state, state_shardings(mesh, state)), sums

    where = jax.jit(update, donate_argnums=0)
    return Step(where, lambda state: state["params"], new, mesh, ("data", "fsdp"), axis=0)


def split(array: jax.Array, chunks: int) -> jax.Array:
    """`[B, ...]` -> `[chunks, B / chunks, ...]`; every chunk has rows of every device, so that nothing travels."""
    if not array.ndim:
        return jnp.broadcast_to(array, (chunks,))
    return array.reshape(-1, chunks, *array.shape[1:]).swapaxes(0, 1)
