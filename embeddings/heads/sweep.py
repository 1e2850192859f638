"""The vectors of texts under many masks of the heads of one layer, for little more than what the masks change.

What a layer adds to its input is a sum over heads, each times its mask (models/layers.py):

    y(m) = sum_h m_h c_h + b^O,   c_h = z_h W_h^O

Neither the layers below, nor z, nor the c_h depend on m. So they are computed once, y(m) is a sum of H arrays for each
mask, and only the rest of the layer and the layers above it are computed again. Layer and masks are inputs of one
compiled program. A processor gains nothing from taking masks abreast (its matrix products are large enough as they
are), so masks follow one another.

Shapes: B rows, T positions, S texts of a row, D width, E width of a text's vector, H heads, M masks, w windows.
"""
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from embeddings.contextual.model import Contextual, HeadMask
from embeddings.contextual.packing import Packer
from embeddings.contextual.program import AHEAD, Program
from embeddings.contextual.texts import Reading
from embeddings.inputs.sequences import Tokens
from embeddings.models.layers import Norm, distance_bias
from embeddings.models.transformer import Block, block


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """From tokens to the vectors of texts, under masks of one layer."""

    program: Program
    """What the model does with tokens when nothing is masked."""

    @functools.cached_property
    def call(self) -> Callable[..., Float[Array, "M B S E"]]:
        """(parameters and steps, tokens, counted, layer, masks [M, H], others) -> vectors, compiled for each shape.

        `others` are masks of all layers, of which that layer's is not read, or None. The layer is an array, or a number
        where layers have unequal numbers of heads: then each layer is compiled.
        """
        mesh, static = self.program.mesh, () if self.program.config.stack.equal else (3,)
        if mesh.size == 1:
            return jax.jit(self._apply, static_argnums=static)
        rows, over = P(mesh.axis_names), P(None, mesh.axis_names)

        def split(params: Any, tokens: Tokens, counted: Array, layer: Any, masks: Array, others: Any) -> Array:
            def one(params: Any, tokens: Tokens, counted: Array, masks: Array, others: Any) -> Array:
                return self._apply(params, tokens, counted, layer, masks, others)

            specs = (P(), rows, rows, P(), P())
            apply = jax.shard_map(one, mesh=mesh, in_specs=specs, out_specs=over, check_vma=False)
            return apply(params, tokens, counted, masks, others)

        return jax.jit(split, static_argnums=static)

    def _apply(
        self, params: Any, tokens: Tokens, counted: Array, layer: Any, masks: Float[Array, "M H"], others: Any
    ) -> Float[Array, "M B S E"]:
        of_model, config = params[0], self.program.config
        t, layers = config.stack, of_model["transformer"]["layers"]
        x = self.program.module.embed(of_model, config, self.program.given(tokens, counted))
        bias = distance_bias(of_model["distances"], tokens.ids.shape[1]) if getattr(config, "buckets", 0) else None
        through = functools.partial(_through, layers, t, others, segments=tokens.segments, bias=bias)
        x = through(x, 0, layer)
        here = _at(layers, t, layer)
        own = _of_kept(bias, t, layer)
        z, _ = _block(t, layer).apply({"params": here}, x, tokens.segments, own, method=Block.heads)
        merge = here["attention"]["output"]
        exact = {"precision": jax.lax.Precision.HIGHEST} if t.dtype == "float32" else {}
        each = jnp.einsum("bthk,hkd->hbtd", z, merge["kernel"].astype(z.dtype), **exact)

        def one(mask: Float[Array, "H"]) -> Float[Array, "B S E"]:
            y = jnp.einsum("h,hbtd->btd", mask.astype(each.dtype), each, **exact) + merge["bias"].astype(each.dtype)
            h = _block(t, layer).apply({"params": here}, x, y, method=Block.rest)
            h = through(h, layer + 1, t.layers)
            if t.last_norm:
                h = Norm(t.width, t.epsilon).apply({"params": of_model["transformer"]["norm"]}, h)
            return self.program.finished(params, h, tokens, counted)

        return jax.lax.map(one, masks)

    def vectors(
        self,
        params: Any,
        reading: Reading,
        packer: Packer,
        layer: int,
        masks: Float[np.ndarray, "M H"],
        report: Callable[[int], None] | None = None,
        others: HeadMask | None = None,
    ) -> Float[np.ndarray, "M w E"]:
        """The vector of each window under each mask of a layer, and `others` of the other layers.

        `report` is told how many windows are done.
        """
        out, done, under_way = np.empty((len(masks), 0, 0), np.float32), 0, []
        where = jnp.int32(layer) if self.program.config.stack.equal else layer
        masks = jnp.asarray(masks, jnp.float32)

        def take() -> None:
            nonlocal out, done
            call, made = under_way.pop(0)
            there, found = call.texts >= 0, np.asarray(made)
            if not out.size:
                out = np.empty((len(masks), len(reading.owner), found.shape[-1]), np.float32)
            out[:, call.texts[there]] = found[:, there]
            done += int(there.sum())
            if report:
                report(done)

        for call in packer.calls(reading.ids, reading.types, reading.starts, reading.skipped):
            under_way.append((call, self.call(params, call.tokens, call.counted, where, masks, others)))
            if len(under_way) > AHEAD:
                take()
        while under_way:
            take()
        return out


@functools.lru_cache(maxsize=4)
def sweep_of(model: Contextual) -> Sweep:
    """The sweep of a model's `encode`, compiled once."""
    return Sweep(model.program())


def _through(
    layers: Any,
    t: Any,
    masks: Any,
    x: Float[Array, "B T D"],
    first: Any,
    last: Any,
    *,
    segments: Array,
    bias: Array | None,
) -> Float[Array, "B T D"]:
    """x after the layers `first` .. `last - 1`."""
    def body(n: Any, x: Array) -> Array:
        mask = None if masks is None else _at(masks, t, n)
        return _block(t, n).apply({"params": _at(layers, t, n)}, x, segments, _of_kept(bias, t, n), mask)[0]

    if t.equal:
        return jax.lax.fori_loop(first, last, body, x)
    return functools.reduce(lambda x, n: body(n, x), range(first, last), x)


def _block(t: Any, layer: Any) -> Block:
    return block(t) if t.equal else block(t, layer)


def _at(layers: Any, t: Any, layer: Any) -> Any:
    """What belongs to a layer, of parameters or masks."""
    if not t.equal:
        return layers[layer]
    return jax.tree.map(lambda p: jax.lax.dynamic_index_in_dim(p, layer, keepdims=False), layers)


def _of_kept(bias: Float[Array, "H T T"] | None, t: Any, layer: Any) -> Float[Array, "_ T T"] | None:
    """The bias of a layer's heads that are left."""
    if bias is None or not t.kept:
        return bias
    return bias[jnp.array(t.kept)[layer] if t.equal else jnp.array(t.kept[layer])]
