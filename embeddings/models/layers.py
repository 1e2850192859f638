"""The parts of a Transformer layer: attention, feed-forward network, normalisation, positions.

Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin (2017), "Attention Is All You Need":

    Attention(Q, K, V) = softmax(Q K^T / sqrt(K)) V                                       (eq. 1)
    MultiHead(x, y)    = sum_h m_h z_h W_h^O + b^O,   z_h = Attention(x W_h^Q, y W_h^K, y W_h^V)
    FFN(x)             = f(x W_1 + b_1) W_2 + b_2                                         (eq. 2)
    LayerNorm(x)       = g * (x - mean(x)) / sqrt(var(x) + epsilon) + b                   (Ba, Kiros, Hinton 2016)
    PE(t, 2i)          = sin(t / 10000^(2i / D)),   PE(t, 2i + 1) = cos(t / 10000^(2i / D))   (section 3.5)

The paper concatenates the z_h before one matrix W^O; the rows of W^O that a head meets are its W_h^O, so heads add up.
m_h is the head mask, 1 unless a head is to be left out (or weighed).

Rows may hold several texts: a token sees those of its own segment. Kernels are kept by head, `[D, H, K]`, `[H, K, D]`.
Products are taken in `dtype`, softmax, norms and what goes on from layer to layer in float32.

Shapes: B batch, T positions, S positions that are looked at (self-attention: S = T), D width, H heads, K head width, F
feed-forward width.
"""
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.models.attention import Implementation, attention
from embeddings.models.dropout import Keys, dropped

CHEAP = functools.partial(jax.checkpoint, prevent_cse=False)
"""What takes little time is done again for the gradient, from what goes into it: a scan over layers would keep all that
is computed on the way (experiments/LOG.md, training on pairs)."""
Activation = Literal["gelu", "gelu_tanh", "relu"]
ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),  # by erf: the tanh form shifts sentence vectors by 6e-4
    "gelu_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
}


def normal(key: PRNGKeyArray, shape: tuple[int, ...], deviation: float) -> Float[Array, "..."]:
    """What kernels and tables start at. Drawn flat: see dropout.kept."""
    return deviation * jax.random.normal(key, (math.prod(shape),)).reshape(shape)


class Linear(nn.Module):
    """x W + b, over the last axes of x."""

    inputs: tuple[int, ...]
    """Axes of x that are summed over."""
    outputs: tuple[int, ...]
    """Axes that take their place."""
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """W and b; transformer.init draws what W starts at."""
        self.kernel = self.param("kernel", nn.initializers.zeros, (*self.inputs, *self.outputs))
        self.bias = self.param("bias", nn.initializers.zeros, self.outputs)

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """`[..., *inputs]` -> `[..., *outputs]`."""
        return linear(x, self.kernel, self.bias, len(self.inputs), self.dtype)


def linear(
    x: Float[Array | np.ndarray, "..."], kernel: Array | np.ndarray, bias: Array | np.ndarray, axes: int, dtype: Any
) -> Float[Array, "..."]:
    """x W + b, over so many last axes of x."""
    exact = jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None
    return jnp.tensordot(x.astype(dtype), kernel.astype(dtype), axes, precision=exact) + bias.astype(dtype)


class Norm(nn.Module):
    """LayerNorm, in float32."""

    width: int
    epsilon: float = 1e-12

    def setup(self) -> None:
        """g and b."""
        self.scale = self.param("scale", nn.initializers.ones, (self.width,))
        self.bias = self.param("bias", nn.initializers.zeros, (self.width,))

    def __call__(self, x: Float[Array, "... D"]) -> Float[Array, "... D"]:
        """Normalised over the last axis."""
        return _normalised(x.astype(jnp.float32), self.scale, self.bias, self.epsilon)


@functools.partial(CHEAP, static_argnums=3)
def _normalised(x: Array, scale: Array, bias: Array, epsilon: float) -> Array:
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return scale * (centred * jax.lax.rsqrt(variance + epsilon)) + bias


class Attention(nn.Module):
    """Multi-head attention in two halves: `heads` gives z, `merge` adds the heads up."""

    width: int
    number: int
    """H."""
    head_width: int
    """K."""
    dropout: float = 0.0
    """Share of attention weights that are dropped in training."""
    causal: bool = False
    """Whether a position sees only itself and what is before it."""
    dtype: Any = jnp.float32
    implementation: Implementation = "xla"

    def setup(self) -> None:
        """W^Q, W^K, W^V by head, and W^O."""
        inner = (self.number, self.head_width)
        self.query, self.key, self.value = (Linear((self.width,), inner, self.dtype) for _ in range(3))
        self.output = Linear(inner, (self.width,), self.dtype)

    def heads(
        self,
        x: Float[Array, "B T D"],
        segments: Int[Array, "B T"],
        memory: Float[Array, "B S D"] | None = None,
        memory_segments: Int[Array, "B S"] | None = None,
        bias: Float[Array, "H T S"] | None = None,
        keys: Keys | None = None,
        weights: bool = False,
    ) -> tuple[Float[Array, "B T H K"], Float[Array, "B H T S"] | None]:
        """z of every head, and the attention weights if asked for. `memory` is looked at; without it, x itself."""
        q = self.query(x) * (1 / math.sqrt(self.head_width))
        memory = x if memory is None else memory
        seen = segments if memory_segments is None else memory_segments
        drop = None if keys is None or not self.dropout else (keys, self.dropout)
        return attention(
            q, self.key(memory), self.value(memory), segments, seen,
            bias=bias, causal=self.causal, dropout=drop, weights=weights, implementation=self.implementation,
        )

    def merge(
        self, z: Float[Array, "B T H K"], head_mask: Float[Array, "*B_T H"] | None = None
    ) -> Float[Array, "B T D"]:
        """The sum over heads, each times its mask, which may differ from position to position."""
        return self.output(z if head_mask is None else z * head_mask[..., None].astype(z.dtype))


class FeedForward(nn.Module):
    """Two linear maps and a non-linearity between them, at each position by itself."""

    width: int
    inner: int
    """F."""
    activation: Activation = "gelu"
    dropout: float = 0.0
    """Share of inner units that are dropped in training."""
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """W_1 and W_2."""
        self.input = Linear((self.width,), (self.inner,), self.dtype)
        self.output = Linear((self.inner,), (self.width,), self.dtype)

    def __call__(self, x: Float[Array, "B T D"], keys: Keys | None = None) -> Float[Array, "B T D"]:
        """FFN(x)."""

        def rest(h: Array, kernel: Array, bias: Array, keys: Keys | None) -> Array:
            return linear(dropped(ACTIVATIONS[self.activation](h), self.dropout, keys), kernel, bias, 1, self.dtype)

        return CHEAP(rest)(self.input(x), self.output.kernel, self.output.bias, keys)


def scores(states: Float[Array, "P D"], words: Float[Array, "V D"], dtype: Any) -> Float[Array, "P V"]:
    """The product of each state with each word's vector, in float32."""
    exact = jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None
    return jnp.einsum(
        "pd,vd->pv", states.astype(dtype), words.astype(dtype), precision=exact, preferred_element_type=jnp.float32
    )


def sinusoids(positions: Int[Array, "..."], width: int) -> Float[Array, "... D"]:
    """PE of some positions; sines at even places, cosines at odd ones."""
    rates = jnp.exp(jnp.arange(0, width, 2) * (-math.log(10000.0) / width))
    angles = positions[..., None] * rates
    both = jnp.stack([jnp.sin(angles), jnp.cos(angles)], axis=-1)
    return both.reshape(*positions.shape, -1)[..., :width]


def distance_buckets(ahead: Int[np.ndarray, "n"], buckets: int = 32, furthest: int = 128) -> Int[np.ndarray, "n"]:
    """Buckets of distances, for a bias by bucket (Raffel et al. 2020, section 2.1); `ahead` is key minus query.

    Half of the buckets are for keys that come after. Of each half, the first half are single distances, the others grow
    by logarithm up to `furthest`, beyond which the last bucket goes on.
    """
    half = buckets // 2
    distance, single = np.abs(ahead), half // 2
    grown = np.log(np.maximum(distance, 1).astype(np.float32) / single) / math.log(furthest / single) * (half - single)
    far = np.minimum(single + grown.astype(np.int64), half - 1)
    return np.where(ahead > 0, half, 0) + np.where(distance < single, distance, far)


def distance_bias(table: Float[Array, "buckets H"], T: int, furthest: int = 128) -> Float[Array, "H T T"]:
    """What each head adds to the score of query t and key s, by the bucket of s - t."""
    by_offset = table[distance_buckets(np.arange(-T + 1, T), len(table), furthest)]
    place = np.arange(T)
    return jnp.transpose(by_offset[place[None, :] - place[:, None] + T - 1], (2, 0, 1))
