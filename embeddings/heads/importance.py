"""How much a head matters by the gradient of its mask (Michel, Levy, Neubig 2019, "Are Sixteen Heads Really Better
than One?", section 4.1).

    I_h = E_x | dL(x) / dm_h |                                                             (eq. 2)

with L the loss of an item x (measures.py) and m_h the mask of head h, 1. As the paper has it, the importances of a
layer are divided by their Euclidean norm. L is a function of the vectors of an item's texts, so that

    dL(x) / dm_h = sum over texts t of x  of  dL(x)/du_t . du_t/dm_h

is taken a text at a time: each text of a packed row has masks of its own, and one pass back gives the gradient of all.

Shapes: B rows, T positions, S texts of a row, D width, E width of a text's vector, L layers, H heads, m items, k texts
of an item.
"""
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from embeddings.contextual.model import Contextual
from embeddings.contextual.program import Program
from embeddings.heads.measures import Loss
from embeddings.inputs.packing import slots
from embeddings.inputs.sequences import Tokens

ITEMS_AT_ONCE = 4096


def gradients(
    model: Contextual,
    texts: tuple[Any, ...],
    vectors: Float[np.ndarray, "n E"],
    loss: Loss,
    report: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "m L H"]:
    """dL(x) / dm_h of each item; `vectors` are the model's of `texts`, `report` is told how many texts are done.

    Of a model with unequal numbers of heads the last ones of a layer are NaN.
    """
    pulled = jax.jit(jax.vmap(jax.grad(loss.of_item)))
    m, k = loss.members.shape
    parts = [slice(at, at + ITEMS_AT_ONCE) for at in range(0, m, ITEMS_AT_ONCE)]
    wanted = np.concatenate([pulled(vectors[loss.members[part]], loss.targets[part]) for part in parts])
    wanted = wanted.reshape(m * k, -1)
    read = model.read([texts[i] for i in loss.members.ravel()])
    call = back(model.program())
    numbers = model.config.stack.numbers
    out = np.full((m * k, len(numbers), max(numbers)), np.nan, np.float32)
    done = 0
    for packed in model.packer().calls(read.ids, read.types, read.starts, read.skipped):
        there = packed.texts >= 0
        cotangents = np.where(there[..., None], wanted[packed.texts], 0).astype(np.float32)
        found = call(model.placed, packed.tokens, packed.counted, cotangents)
        for layer, gradient in enumerate(found):
            out[packed.texts[there], layer, : numbers[layer]] = np.asarray(gradient)[there]
        done += int(there.sum())
        if report:
            report(done)
    return out.reshape(m, k, *out.shape[1:]).sum(axis=1)


@functools.lru_cache(maxsize=4)
def back(program: Program) -> Callable[[Any, Tokens, Array, Array], tuple[Float[Array, "B S H"], ...]]:
    """(parameters and steps, tokens, counted, dL/du [B, S, E]) -> dL/dm of each text, one array a layer; compiled."""
    numbers = program.config.stack.numbers

    def vectors(masks: tuple, params: tuple, tokens: Tokens, counted: Array) -> Float[Array, "B S E"]:
        S = slots(tokens.ids.shape[1])
        mine = jax.nn.one_hot(tokens.segments - 1, S)
        spread = tuple(jnp.einsum("bts,bsh->bth", mine, mask) for mask in masks)
        masks = jnp.stack(spread) if program.config.stack.equal else spread
        shown = program.given(tokens, counted)
        hidden = program.module.apply(params[0], program.config, shown, head_mask=masks).hidden
        return program.finished(params, hidden, tokens, counted)

    def one(params: tuple, tokens: Tokens, counted: Array, cotangents: Array) -> tuple[Array, ...]:
        B, T = tokens.ids.shape
        ones = tuple(jnp.ones((B, slots(T), number)) for number in numbers)
        return jax.vjp(lambda masks: vectors(masks, params, tokens, counted), ones)[1](cotangents)[0]

    if program.mesh.size == 1:
        return jax.jit(one)
    rows = P(program.mesh.axis_names)
    specs = (P(), rows, rows, rows)
    return jax.jit(jax.shard_map(one, mesh=program.mesh, in_specs=specs, out_specs=rows, check_vma=False))


def importance(gradients: Float[np.ndarray, "m L H"]) -> Float[np.ndarray, "L H"]:
    """I_h, divided by the norm of its layer's."""
    mean = np.mean(np.abs(gradients.astype(np.float64)), axis=0)
    norm = np.sqrt(np.nansum(mean**2, axis=1, keepdims=True))
    return mean / np.where(norm > 0, norm, 1)
