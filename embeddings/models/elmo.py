"""ELMo: vectors of words in context, from the layers of a bidirectional language model over characters.

Peters, Neumann, Iyyer, Gardner, Clark, Lee, Zettlemoyer (2018), "Deep contextualized word representations". Two
language models, one from each side, share the vectors of words x_k and the softmax s (section 3.1):

    sum_k log p(t_k | t_1 .. t_(k-1); x, forward, s) + log p(t_k | t_(k+1) .. t_N; x, backward, s)

x_k is made of the word's characters (character_cnn.py). Layer l is, for each direction, an LSTM with a projection
(Sak, Senior, Beaufays 2014) whose cells and outputs are clipped. With x_t what the layer reads at its t-th step:

    i, j, f, o = x_t W + h_(t-1) U + b
    c_t = clip(sigmoid(f + 1) * c_(t-1) + sigmoid(i) * tanh(j), cell_clip)
    h_t = clip((sigmoid(o) * tanh(c_t)) P, proj_clip)
    y_t = h_t,  and from the second layer on  h_t + x_t  with skip connections; y is the next layer's x

The representation of a word is a mixture of its layers, trained with whatever it is used for (eq. 1): h_k0 is x_k
twice, h_kl the outputs of both directions of layer l side by side:

    ELMo_k = gamma sum_l s_l h_kl,   s = softmax(w)

Every call starts from h_0 = c_0 = 0, so that a sentence has the same vectors whatever was read before. The authors'
programs keep both from one batch to the next, a position in the batch each: give `Output.carry` back in as
`Batch.carry` to do that. The beginning and end of a sentence are words of the batch, here as there.

Shapes: B batch, T position, C characters of a word, D width of one direction, M cells, L layers, S = 2 directions;
D2 = 2 D, L1 = L + 1.
"""
import dataclasses
import math
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from embeddings.models import character_cnn
from embeddings.models.character_cnn import flat, product
from embeddings.models.dropout import Keys, kept, row_keys, scaled

Params = Any
"""{"characters": see character_cnn.py, "lstm": {"kernel": W [L, S, D, 4 M], "recurrent": U [L, S, D, 4 M],
"bias": b [L, S, 4 M], "projection": P [L, S, M, D]}}, gates in the order i, j, f, o.
"""
STATES = "states"
"""What `apply` gives back only when asked: all layers."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines the parameters and how they are used; the defaults are those of the published original."""

    characters: character_cnn.Config = character_cnn.Config()
    """How words are made of characters."""
    width: int = 512
    """Length of a word's vector and of the output of each direction, D."""
    cells: int = 4096
    """Cells of each LSTM, M."""
    layers: int = 2
    """Bidirectional LSTM layers, L."""
    cell_clip: float | None = 3.0
    """Largest absolute value of a cell."""
    proj_clip: float | None = 3.0
    """Largest absolute value of an output, before what skips the layer is added."""
    use_skip_connections: bool = True
    """Whether the input of a layer, the first one's excepted, is added to its output."""
    dropout: float = 0.1
    """Share of the inputs of each layer, and of the outputs of the last, that is dropped in training."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What products are taken in; parameters and cells are float32."""


class Carry(NamedTuple):
    """What the LSTMs of all layers pass on, forwards from the last word read and backwards from the first."""

    h: Float[Array, "L S B D"]
    c: Float[Array, "L S B M"]


class Batch(NamedTuple):
    """Sentences, each with its beginning and end, in rows that are filled up at the end."""

    characters: Int[Array, "B T C"]
    """Numbers of the characters of each word, from 1; where there is no word, 0."""
    segments: Int[Array, "B T"]
    """Which sentence of its row a word belongs to, from 1; where there is no word, 0."""
    carry: Carry | None = None
    """Where the LSTMs start in the first sentence read of each row; None for zeros."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Output:
    """Vectors of words in context; zeros where there is no word."""

    hidden: Float[Array, "B T D2"]
    """The last layer, forward and backward side by side; with dropout in training."""
    carry: Carry
    """What the LSTMs would pass on."""
    states: Float[Array, "L1 B T D2"] | None = None
    """The words' own vectors, twice, then the outputs of all layers: if asked for."""


class Mix(NamedTuple):
    """Parameters of a mixture of layers."""

    weights: Float[Array, "layers"]
    """w, before the softmax."""
    scale: Float[Array, ""]
    """gamma."""


def init(key: PRNGKeyArray, config: Config) -> Params:
    """As the authors' program starts: kernels and projections by Glorot and Bengio (2010), biases 0."""
    D, M, at = config.width, config.cells, (config.layers, 2)
    keys = jax.random.split(key, 4)
    gates, out = (6 / (2 * D + 4 * M)) ** 0.5, (6 / (M + D)) ** 0.5  # W above U are one matrix there
    shapes = (((*at, D, 4 * M), gates), ((*at, D, 4 * M), gates), ((*at, M, D), out))
    kernel, recurrent, projection = (
        jax.random.uniform(k, flat(shape), minval=-limit, maxval=limit).reshape(shape)
        for k, (shape, limit) in zip(keys[1:], shapes, strict=True)
    )
    lstm = {"kernel": kernel, "recurrent": recurrent, "bias": jnp.zeros((*at, 4 * M)), "projection": projection}
    return {"characters": character_cnn.init(keys[0], config.characters, D), "lstm": lstm}


def start(config: Config, rows: int) -> Carry:
    """Zeros."""
    at = (config.layers, 2, rows)
    return Carry(jnp.zeros((*at, config.width), config.dtype), jnp.zeros((*at, config.cells)))


def apply(
    params: Params,
    config: Config,
    batch: Batch,
    *,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """The vectors of a batch.

    Args:
        params: as `init` makes them.
        config: of the model.
        batch: sentences.
        key: of dropout, or one for each row, so that a row drops the same in whatever batch; None drops nothing.
        outputs: of "states", what is also given back.
    """
    words = character_cnn.apply(params["characters"], config.characters, batch.characters, config.dtype)
    return contextual(params["lstm"], config, words, batch.segments, batch.carry, key=key, outputs=outputs)


def contextual(
    params: Params,
    config: Config,
    words: Float[Array, "B T D"],
    segments: Int[Array, "B T"],
    carry: Carry | None = None,
    *,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """The layers above the words' own vectors; see `Batch` and `apply`."""
    read = _both_ways(segments)
    before = jnp.pad(read, ((1, 0), (0, 0), (0, 0)))[:-1]
    there, begins = read > 0, (read > 0) & (before > 0) & (before != read)

    def layer(x: Float[Array, "T S B D"], own: tuple) -> tuple[Float[Array, "T S B D"], tuple]:
        number, lstm, carry, keep = own
        x = _dropped(x, config.dropout, keep)
        h, carry = _lstm(lstm, config, x, there, begins, carry)
        y = h + jnp.where(config.use_skip_connections & (number > 0), x, 0)
        return y, (y if STATES in outputs else None, carry)

    carry = start(config, len(words)) if carry is None else carry
    words = _both_ways(words)
    keep = _kept(key, config, words.shape)
    of_layers = jnp.arange(config.layers), params, carry, None if keep is None else keep[:-1]
    last, (states, carry) = jax.lax.scan(layer, words, of_layers)
    last = _dropped(last, config.dropout, None if keep is None else keep[-1])
    if states is not None:
        states = _side_by_side(jnp.concatenate([words[None], states]), segments)
    return Output(_side_by_side(last, segments), carry, states)


def _lstm(
    params: Params,
    config: Config,
    x: Float[Array, "T S B D"],
    there: Bool[Array, "T S B"],
    begins: Bool[Array, "T S B"],
    carry: Carry,
) -> tuple[Float[Array, "T S B D"], Carry]:
    """h of one layer; it starts anew where a sentence `begins` and stands still where no word is `there`."""
    one = jnp.repeat(jnp.array([0.0, 0.0, 1.0, 0.0]), config.cells)
    z = product("tsbd,sdg->tsbg", x, params["kernel"]) + (params["bias"] + one)[:, None]

    def step(carry: Carry, now: tuple) -> tuple[Carry, Float[Array, "S B D"]]:
        z, there, begins = now
        h, c = (jnp.where(begins[..., None], 0, part) for part in carry)
        i, j, f, o = jnp.split(z + product("sbd,sdg->sbg", h, params["recurrent"]), 4, axis=-1)
        cell = _clipped(jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(j), config.cell_clip)
        out = (jax.nn.sigmoid(o) * jnp.tanh(cell)).astype(config.dtype)
        out = _clipped(product("sbm,smd->sbd", out, params["projection"]), config.proj_clip).astype(config.dtype)
        now = Carry(*(jnp.where(there[..., None], new, old) for new, old in ((out, carry.h), (cell, carry.c))))
        return now, now.h

    carry, h = jax.lax.scan(step, carry, (z, there, begins))
    return h, carry


def mix(
    params: Mix,
    states: Float[Array, "layers ... D"],
    normalised_over: Bool[Array, "..."] | None = None,
) -> Float[Array, "... D"]:
    """ELMo_k of each word (eq. 1).

    With a mask, each layer is first brought to mean 0 and variance 1 over all numbers of all words there, as AllenNLP's
    do_layer_norm does; a vector then depends on the words beside it in the batch.
    """
    states = states.astype(jnp.float32)
    if normalised_over is not None:
        there, axes = normalised_over[None, ..., None], tuple(range(1, states.ndim))
        centred = states - jnp.mean(states, axes, keepdims=True, where=there)
        states = centred * jax.lax.rsqrt(jnp.mean(centred**2, axes, keepdims=True, where=there) + 1e-12)
    return params.scale * jnp.einsum("l,l...->...", jax.nn.softmax(params.weights), states)


def _clipped(x: Array, limit: float | None) -> Array:
    return x if limit is None else jnp.clip(x, -limit, limit)


def _kept(
    key: PRNGKeyArray | Keys | None, config: Config, shape: tuple[int, ...]
) -> Bool[Array, "L1 T S B D"] | None:
    """What dropout leaves of the inputs of each layer and of the outputs of the last; `shape` is `[T, S, B, D]`."""
    if key is None or not config.dropout:
        return None
    T, S, B, D = shape
    of_row = config.layers + 1, T, S, D
    keep = jax.vmap(lambda key: kept(key, config.dropout, (math.prod(of_row),)))(row_keys(key, B))  # see flat
    return jnp.moveaxis(keep.reshape(B, *of_row), 0, 3)


def _dropped(x: Array, rate: float, keep: Bool[Array, "..."] | None) -> Array:
    return x if keep is None else scaled(x, keep, rate)


def _both_ways(x: Array) -> Array:
    """`[B, T, ...]` -> `[T, S, B, ...]`, each direction in the order that it reads."""
    x = jnp.swapaxes(x, 0, 1)
    return jnp.stack([x, jnp.flip(x, 0)], axis=1)


def _side_by_side(y: Float[Array, "*layers T S B D"], segments: Int[Array, "B T"]) -> Float[Array, "*layers B T D2"]:
    """Back in the order of the text, zeros where there is no word."""
    forward, backward = y[..., 0, :, :], jnp.flip(y[..., 1, :, :], -3)
    return jnp.swapaxes(jnp.concatenate([forward, backward], -1), -2, -3) * (segments > 0)[..., None]
