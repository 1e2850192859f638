"""GPT-2: a language model that reads from left to right.

Radford, Wu, Child, Luan, Amodei, Sutskever (2019), "Language Models are Unsupervised Multitask Learners": a pre-norm
decoder without memory, whose words are predicted by the word table itself,

    x_t = E_word[t] + E_position[t]
    h   = LayerNorm(Decoder(x))
    p(word t + 1 | words up to t) = softmax(E_word h_t)

GPT (Radford, Narasimhan, Salimans, Sutskever 2018) is the same in post-norm, without the last norm.

Shapes: B batch, T positions, V vocabulary, D width, H heads, L layers, P predictions.
"""
import dataclasses
from collections.abc import Collection
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from embeddings.inputs.sequences import Tokens
from embeddings.models import transformer
from embeddings.models.dropout import Keys, dropped, fold, row_keys
from embeddings.models.layers import normal, scores
from embeddings.models.transformer import Output

Params = Any
"""{"words": [V, D], "positions": [rows, D], "transformer"}."""

_EMBEDDING, _LAYERS = 0, 1
"""Where something is dropped."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a model; the defaults are GPT-2 small."""

    vocabulary: int = 50257
    """V."""
    positions: int = 1024
    """Rows of the position table: tokens of a text, at most."""
    stack: transformer.Config = transformer.Config(
        activation="gelu_tanh", norm="pre", last_norm=True, epsilon=1e-5, causal=True
    )
    is_transformer: ClassVar[bool] = True
    """Whether it has attention, and the formats of Transformers."""

    @property
    def longest(self) -> int:
        """Tokens of a text, at most."""
        return self.positions


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Tables and kernels normal with the config's deviation, biases 0, norms 1.

    The authors also divide the kernels of what is added to x by sqrt(2 L), so that the sum does not grow with L.
    """
    t = config.stack
    keys = jax.random.split(key, 3)
    stack = transformer.init(keys[0], t)
    scale = (2 * t.layers) ** -0.5

    def shrunk(layer: Params) -> Params:
        for part in ("attention", "feed_forward"):
            layer[part]["output"]["kernel"] = layer[part]["output"]["kernel"] * scale
        return layer

    stack["layers"] = shrunk(stack["layers"]) if t.equal else tuple(map(shrunk, stack["layers"]))
    tables = {
        name: normal(k, (rows, t.width), t.deviation)
        for name, k, rows in (("words", keys[1], config.vocabulary), ("positions", keys[2], config.positions))
    }
    return {**tables, "transformer": stack}


def embed(
    params: Params, config: Config, batch: Tokens, keys: Keys | None = None
) -> Float[Array, "B T D"]:
    """x: what goes into the first layer."""
    x = params["words"][batch.ids] + params["positions"][batch.positions]
    return dropped(x, config.stack.dropout, keys)


def apply(
    params: Params,
    config: Config,
    batch: Tokens,
    *,
    head_mask: Float[Array, "L *B_T _"] | tuple[Float[Array, "*B_T _"], ...] | None = None,
    frozen: int = 0,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """h: contextual vectors of all tokens; see transformer.apply for the arguments."""
    keys = None if key is None else row_keys(key, len(batch.ids))
    x = embed(params, config, batch, fold(keys, _EMBEDDING))
    return transformer.apply(
        params["transformer"], config.stack, x, batch.segments,
        head_mask=head_mask, frozen=frozen, key=fold(keys, _LAYERS), outputs=outputs,
    )


def logits(params: Params, config: Config, states: Float[Array, "P D"]) -> Float[Array, "P V"]:
    """Scores of all words to come after some states; their softmax is p."""
    return scores(states, params["words"], jnp.dtype(config.stack.dtype))
