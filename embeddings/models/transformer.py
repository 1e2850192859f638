"""The Transformer: a stack of equal layers, as an encoder or a decoder (Vaswani et al. 2017, section 3.1).

    post-norm (the paper, BERT)      x <- LayerNorm(x + Attention(x))        x <- LayerNorm(x + FFN(x))
    pre-norm (GPT-2)                 x <- x + Attention(LayerNorm(x))        x <- x + FFN(LayerNorm(x))

A decoder is causal; one that looks at an encoder's output has a second attention between the two. Parameters of layers
with equally many heads are stacked, `[L, ...]`, and one layer is scanned over them: compilation takes as long for 24
layers as for one. Layers with unequal numbers of heads (pruned ones) are a tuple, and follow one another.

Shapes: B batch, T positions, S positions of the memory, D width, H heads, K head width, L layers.
"""
import dataclasses
from collections.abc import Collection
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.models.attention import Implementation
from embeddings.models.dropout import Keys, dropped, fold, row_keys
from embeddings.models.layers import Activation, Attention, FeedForward, Norm, normal

Params = Any
"""{"layers": stacked parameters of Block or a tuple of them, "norm": of the last norm where there is one}."""
STATES, ATTENTION = "states", "attention"
"""What `apply` gives back only when asked."""
_WEIGHTS, _ATTENTION, _CROSS_WEIGHTS, _CROSS, _INNER, _FEED_FORWARD = range(6)
"""Places in a layer where something is dropped."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a stack of layers."""

    layers: int = 12
    """L."""
    width: int = 768
    """D."""
    heads: int = 12
    """H, before any is pruned."""
    head_width: int = 64
    """K."""
    feed_forward: int = 3072
    """F."""
    activation: Activation = "gelu"
    norm: Literal["post", "pre"] = "post"
    """Whether a sum is normalised after it is taken, or what is added before."""
    last_norm: bool = False
    """Whether the last layer's output is normalised once more."""
    epsilon: float = 1e-12
    """Added to variances."""
    causal: bool = False
    """Whether a position sees only itself and what is before it."""
    cross: bool = False
    """Whether layers look at a memory too."""
    dropout: float = 0.1
    """Share of a sub-layer's output that is dropped in training."""
    attention_dropout: float = 0.1
    """Share of attention weights that are dropped in training."""
    inner_dropout: float = 0.0
    """Share of the feed-forward network's inner units that are dropped in training."""
    deviation: float = 0.02
    """Standard deviation of kernels at the start."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; parameters are float32."""
    remat: bool = False
    """Whether a layer is computed again on the way back instead of kept."""
    implementation: Implementation = "xla"
    """Of attention."""
    kept: tuple[tuple[int, ...], ...] = ()
    """Of each layer, the heads that are left; empty where none is pruned."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Heads of each layer."""
        return tuple(map(len, self.kept)) if self.kept else (self.heads,) * self.layers

    @property
    def equal(self) -> bool:
        """Whether all layers have the same number of heads, and are stacked."""
        return len(set(self.numbers)) == 1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Output:
    """What comes out of a stack; what was not asked for is None."""

    hidden: Float[Array, "B T D"]
    """Of the last layer."""
    states: Float[Array, "L1 B T D"] | None = None
    """What goes into the first layer, then what comes out of each; the last is `hidden`."""
    attention: Float[Array, "L B H T T"] | tuple[Float[Array, "B _ T T"], ...] | None = None
    """Attention weights; a tuple where layers have unequal numbers of heads."""


class Block(nn.Module):
    """One layer, in two halves, so that heads can be left out in between at no cost: `heads`, then `finish`."""

    config: Config
    number: int
    """Heads of this layer, H."""

    def setup(self) -> None:
        """The sub-layers and their norms."""
        c = self.config
        dtype = jnp.dtype(c.dtype)
        attention = {"dropout": c.attention_dropout, "dtype": dtype, "implementation": c.implementation}
        self.attention = Attention(c.width, self.number, c.head_width, causal=c.causal, **attention)
        self.attention_norm = Norm(c.width, c.epsilon)
        if c.cross:
            self.cross = Attention(c.width, self.number, c.head_width, **attention)
            self.cross_norm = Norm(c.width, c.epsilon)
        self.feed_forward = FeedForward(c.width, c.feed_forward, c.activation, c.inner_dropout, dtype)
        self.feed_forward_norm = Norm(c.width, c.epsilon)

    def heads(
        self,
        x: Float[Array, "B T D"],
        segments: Int[Array, "B T"],
        bias: Float[Array, "H T T"] | None = None,
        keys: Keys | None = None,
        weights: bool = False,
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B H T T"] | None]:
        """What each head of the (self-)attention gives, and its weights if asked for."""
        x = self.attention_norm(x) if self.config.norm == "pre" else x
        return self.attention.heads(x, segments, bias=bias, keys=fold(keys, _WEIGHTS), weights=weights)

    def finish(
        self,
        x: Float[Array, "B T D"],
        z: Float[Array, "B T H K"],
        head_mask: Float[Array, "*B_T H"] | None = None,
        memory: tuple[Array, Array, Array] | None = None,
        keys: Keys | None = None,
    ) -> Float[Array, "B T D"]:
        """The layer's output, from its input and its heads; `memory` is (states, their segments, segments of x)."""
        return self.rest(x, self.attention.merge(z, head_mask), memory, keys)

    def rest(
        self,
        x: Float[Array, "B T D"],
        merged: Float[Array, "B T D"],
        memory: tuple[Array, Array, Array] | None = None,
        keys: Keys | None = None,
    ) -> Float[Array, "B T D"]:
        """The layer's output, from its input and the sum of its heads."""
        x = self._added(x, merged, self.attention_norm, fold(keys, _ATTENTION))
        if memory is not None:
            states, seen, segments = memory
            q = self.cross_norm(x) if self.config.norm == "pre" else x
            z, _ = self.cross.heads(q, segments, states, seen, keys=fold(keys, _CROSS_WEIGHTS))
            x = self._added(x, self.cross.merge(z), self.cross_norm, fold(keys, _CROSS))
        y = self.feed_forward_norm(x) if self.config.norm == "pre" else x
        y = self.feed_forward(y, fold(keys, _INNER))
        return self._added(x, y, self.feed_forward_norm, fold(keys, _FEED_FORWARD))

    def _added(self, x: Array, y: Array, norm: Norm, keys: Keys | None) -> Array:
        total = x + dropped(y.astype(jnp.float32), self.config.dropout, keys)
        return norm(total) if self.config.norm == "post" else total

    def __call__(
        self,
        x: Float[Array, "B T D"],
        segments: Int[Array, "B T"],
        bias: Float[Array, "H T T"] | None = None,
        head_mask: Float[Array, "*B_T H"] | None = None,
        memory: tuple[Array, Array, Array] | None = None,
        keys: Keys | None = None,
        weights: bool = False,
    ) -> tuple[Float[Array, "B T D"], Float[Array, "B H T T"] | None]:
        """The layer's output, and its attention weights if asked for."""
        z, a = self.heads(x, segments, bias, keys, weights)
        return self.finish(x, z, head_mask, memory, keys), a


def block(config: Config, layer: int = 0) -> Block:
    """A layer of the stack, without parameters."""
    return Block(config, config.numbers[layer])


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Kernels normal with the config's deviation, biases 0, norms 1."""
    if config.equal:
        layers = _drawn(key, config, 0, (config.layers,))
    else:
        keys = jax.random.split(key, config.layers)
        layers = tuple(_drawn(keys[n], config, n) for n in range(config.layers))
    norm = {"scale": jnp.ones(config.width), "bias": jnp.zeros(config.width)}
    return {"layers": layers} | ({"norm": norm} if config.last_norm else {})


def _drawn(key: PRNGKeyArray, config: Config, layer: int, stacked: tuple[int, ...] = ()) -> Params:
    """The parameters of a layer, or of several stacked ones."""
    x, segments = jnp.zeros((1, 1, config.width)), jnp.zeros((1, 1), jnp.int32)
    memory = (x, segments, segments) if config.cross else None
    shapes = jax.eval_shape(lambda: block(config, layer).init(key, x, segments, memory=memory))["params"]
    leaves, tree = jax.tree_util.tree_flatten_with_path(shapes)
    keys = jax.random.split(key, len(leaves))

    def one(number: int) -> Array:
        path, leaf = leaves[number]
        name, shape = path[-1].key, (*stacked, *leaf.shape)
        if name == "kernel":
            return normal(keys[number], shape, config.deviation)
        return jnp.ones(shape) if name == "scale" else jnp.zeros(shape)

    return tree.unflatten(map(one, range(len(leaves))))


def apply(
    params: Params,
    config: Config,
    x: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    *,
    bias: Float[Array, "H T T"] | None = None,
    head_mask: Float[Array, "L *B_T _"] | tuple[Float[Array, "*B_T _"], ...] | None = None,
    memory: tuple[Float[Array, "B S D"], Int[Array, "B S"]] | None = None,
    frozen: int = 0,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """The output of the last layer.

    Args:
        params: as `init` makes them.
        config: of the stack.
        x: what goes into the first layer.
        segments: which text of its row a position belongs to; positions see those with an equal number.
        bias: what is added to the scores of every layer (relative positions), for all heads before pruning.
        head_mask: of each layer's heads, for all positions or for each, `[L, H]` or `[L, B, T, H]`; a tuple where
            layers have unequal numbers of them.
        memory: states of an encoder and their segments, for a decoder that looks at them.
        frozen: no gradient flows into this many layers from below, nor further down.
        key: of dropout, or one for each row; None drops nothing.
        outputs: of "states" and "attention", what is also given back.
    """
    asked = frozenset(outputs)
    behind = (*memory, segments) if memory is not None else None
    keys = None if key is None else row_keys(key, len(x))

    def layer(x: Array, given: tuple, number: int = 0) -> tuple[Array, tuple]:
        weights, mask, place, kept = given
        of_heads = bias if bias is None or kept is None else bias[kept]
        y, a = block(config, number).apply(
            {"params": weights}, x, segments, of_heads, mask, behind, fold(keys, place), ATTENTION in asked
        )
        return y, (y if STATES in asked else None, a)

    layers, kept = params["layers"], []
    start = x
    for first, last in ((0, frozen), (frozen, config.layers)):
        if first == last:
            continue
        if config.equal:
            body = jax.checkpoint(layer) if config.remat else layer
            given = (jax.tree.map(lambda p, a=first, b=last: p[a:b], layers),
                     None if head_mask is None else head_mask[first:last], jnp.arange(first, last),
                     jnp.array(config.kept[first:last]) if config.kept else None)
            x, some = jax.lax.scan(body, x, given)
            kept.append(some)
        else:
            for n in range(first, last):
                body = jax.checkpoint(layer, static_argnums=2) if config.remat else layer
                mask = None if head_mask is None else head_mask[n]
                x, some = body(x, (layers[n], mask, n, jnp.array(config.kept[n], jnp.int32)), n)
                kept.append(jax.tree.map(lambda a: a[None], some))
        if last == frozen:
            x = jax.lax.stop_gradient(x)
    return _output(params, config, start, x, kept)


def _output(params: Params, config: Config, start: Array, x: Array, kept: list[tuple]) -> Output:
    """The last norm taken, and what the layers left beside their outputs put together."""
    states = attention = None
    if kept and kept[0][0] is not None:
        states = jnp.concatenate([start[None], *(some[0] for some in kept)])
    if kept and kept[0][1] is not None:
        parts = [some[1] for some in kept]
        attention = jnp.concatenate(parts) if config.equal else tuple(part[0] for part in parts)
    if config.last_norm:
        x = Norm(config.width, config.epsilon).apply({"params": params["norm"]}, x)
        states = None if states is None else states.at[-1].set(x)
    return Output(x, states, attention)
