"""Steps for parameters that are all touched: a gradient by jax.grad, an update by optax.

`dense_step` is for word tables; `sequence_step` for models of rows of tokens, which it may go through in chunks: the
gradients of sums add up, so any number of chunks gives the gradient of the whole batch; `embedding_step` is for losses
that compare the texts of a batch with one another. What a row drops depends on the row, the step and the seed alone
(models/dropout.py).

An optimizer is made from its learning rate where the step is traced: the rate and the seed are handed to the compiled
step (Step.constants).
"""
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from embeddings.models.dropout import Keys, row_keys
from embeddings.training.optimizer import Schedule
from embeddings.training.step import Step, state_shardings

Tree = Any
Optimizer = Callable[[Schedule], optax.GradientTransformation]


class Constants(NamedTuple):
    """What a step is handed at every call."""

    rate: Schedule
    seed: np.ndarray
    """Of what is dropped."""


def given(rate: Schedule, seed: int = 0) -> Constants:
    """The constants of a run; of a seed the lower 32 bits, as jax.random.key takes them."""
    return Constants(rate, np.asarray(seed & 0xFFFFFFFF, np.uint32))


def dense_step(loss: Callable[[Tree, Tree], dict], optimizer: Optimizer, rate: Schedule, mesh: Mesh) -> Step:
    """The step for parameters that are all touched: the gradient of loss sum / weight, through an optax optimizer.

    A batch is split over `data` alone: split over `fsdp` too, beside tables whose width is split over it, XLA's
    partitioner (JAX 0.10) compiles a program with another loss; the invariance suite found it.
    """

    def update(state: Tree, batch: Tree, constants: Constants) -> tuple[Tree, dict]:
        def mean(params: Tree) -> tuple[jax.Array, dict]:
            sums = loss(params, batch)
            value, weight = sums["loss"]
            return value / jnp.maximum(weight, 1), sums

        gradient, sums = jax.grad(mean, has_aux=True)(state["params"])
        changes, kept = optimizer(constants.rate).update(gradient, state["optimizer"], state["params"])
        params = optax.apply_updates(state["params"], changes)
        state = {"params": params, "optimizer": kept, "step": state["step"] + 1}
        return jax.lax.with_sharding_constraint(state, state_shardings(mesh, state)), sums

    return _step(update, optimizer, mesh, ("data",), given(rate), axis=1)


def sequence_step(
    loss: Callable[[Tree, Tree, Keys | None], dict],
    optimizer: Optimizer,
    rate: Schedule,
    mesh: Mesh,
    *,
    chunks: int = 1,
    seed: int = 0,
    dropout: bool = True,
) -> Step:
    """The step for a loss of (params, batch, key of each row); a batch's arrays are `[B, ...]`, or of no axis.

    Args:
        loss: gives {name: (sum, weight)}; the gradient is that of `loss` sum / weight over the whole batch.
        optimizer: of optax, from its learning rate.
        rate: the learning rate.
        mesh: rows are split over data and fsdp.
        chunks: parts that a batch is gone through in, one after the other; divides B.
        seed: of what is dropped.
        dropout: whether something is.
    """

    def one(params: Tree, batch: Tree, keys: Keys | None) -> tuple[Tree, dict]:
        def total(params: Tree) -> tuple[jax.Array, dict]:
            sums = loss(params, batch, keys)
            return sums["loss"][0], sums

        return jax.grad(total, has_aux=True)(params)

    def update(state: Tree, batch: Tree, constants: Constants) -> tuple[Tree, dict]:
        params = state["params"]
        rows = next(a.shape[0] for a in jax.tree.leaves(batch) if a.ndim)
        key = jax.random.fold_in(jax.random.key(constants.seed), state["step"])
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
        return updated(optimizer(constants.rate), state, gradient, sums, mesh), sums

    return _step(update, optimizer, mesh, ("data", "fsdp"), given(rate, seed), axis=0)


def embedding_step(
    encode: Callable[[Tree, Tree, jax.Array, Keys | None], jax.Array],
    loss: Callable[[Tree, jax.Array, Tree], dict],
    optimizer: Optimizer,
    rate: Schedule,
    mesh: Mesh,
    *,
    chunks: int = 1,
    seed: int = 0,
    dropout: bool = True,
) -> Step:
    """The step for a loss of all vectors of a batch at once, such as one that takes the others for wrong answers.

    In chunks, vectors are made without a gradient, the loss gives its gradient by them, and they are made again, chunk
    by chunk, to take it back to the parameters (gradient caching: Gao, Zhang, Han, Callan 2021). A row drops the same
    both times, so the gradient is that of the whole batch, and no more than a chunk's layers are ever kept.

    Args:
        encode: (parameters of the model, rows of tokens, which of them count, key of each row) -> `[B, S, E]`.
        loss: (its own parameters, `[N, C, E]`, labels) -> {name: (sum, weight)}.
        optimizer, rate, mesh, chunks, seed, dropout: as of sequence_step.
    """

    def compared(objective: Tree, rows: jax.Array, batch: Tree) -> tuple[jax.Array, dict]:
        vectors = rows.reshape(-1, rows.shape[-1])[batch.places]
        sums = loss(objective, vectors, batch.labels)
        return sums["loss"][0], sums

    def at_once(params: Tree, batch: Tree, keys: Keys | None) -> tuple[Tree, dict]:
        def total(params: Tree) -> tuple[jax.Array, dict]:
            return compared(params["objective"], encode(params["model"], batch.tokens, batch.counted, keys), batch)

        return jax.grad(total, has_aux=True)(params)

    def in_chunks(params: Tree, batch: Tree, keys: Keys | None) -> tuple[Tree, dict]:
        parts = jax.tree.map(lambda a: split(a, chunks), (batch.tokens, batch.counted, keys))
        made = jax.lax.map(lambda part: encode(params["model"], *part), parts)
        rows = made.swapaxes(0, 1).reshape(-1, *made.shape[2:])
        by, sums = jax.grad(compared, argnums=(0, 1), has_aux=True)(params["objective"], rows, batch)

        def back(gradient: Tree, part: tuple) -> tuple[Tree, None]:
            by_rows, *read = part
            _, pull = jax.vjp(lambda model: encode(model, *read), params["model"])
            return jax.tree.map(jnp.add, gradient, pull(by_rows)[0]), None

        nothing = jax.tree.map(jnp.zeros_like, params["model"])
        model, _ = jax.lax.scan(back, nothing, (split(by[1], chunks), *parts))
        return {"model": model, "objective": by[0]}, sums

    def update(state: Tree, batch: Tree, constants: Constants) -> tuple[Tree, dict]:
        params = state["params"]
        key = jax.random.fold_in(jax.random.key(constants.seed), state["step"])
        keys = row_keys(key, len(batch.counted)) if dropout else None
        gradient, sums = (at_once if chunks == 1 else in_chunks)(params, batch, keys)
        return updated(optimizer(constants.rate), state, gradient, sums, mesh), sums

    return _step(update, optimizer, mesh, ("data", "fsdp"), given(rate, seed), axis=0)


def _step(
    update: Callable, optimizer: Optimizer, mesh: Mesh, split: tuple[str, ...], constants: Constants, axis: int
) -> Step:
    """The step of an update, and the state that it starts from."""

    def new(params: Tree) -> Tree:
        kept = optimizer(constants.rate).init(params)
        return {"params": params, "optimizer": kept, "step": jnp.zeros((), jnp.int32)}

    return Step(jax.jit(update, donate_argnums=0), lambda state: state["params"], new, mesh, split, constants, axis)


def updated(
    optimizer: optax.GradientTransformation, state: Tree, gradient: Tree, sums: dict, mesh: Mesh
) -> Tree:
    """The next state, from the gradient of the loss's sum."""
    params = state["params"]
    gradient = jax.tree.map(lambda g: g / jnp.maximum(sums["loss"][1], 1e-9), gradient)
    changes, kept = optimizer.update(gradient, state["optimizer"], params)
    state = {"params": optax.apply_updates(params, changes), "optimizer": kept, "step": state["step"] + 1}
    return jax.lax.with_sharding_constraint(state, state_shardings(mesh, state))


def split(array: jax.Array, chunks: int) -> jax.Array:
    """`[B, ...]` -> `[chunks, B / chunks, ...]`; every chunk has rows of every device, so that nothing travels."""
    if not array.ndim:
        return jnp.broadcast_to(array, (chunks,))
    return array.reshape(-1, chunks, *array.shape[1:]).swapaxes(0, 1)
