"""BERT and what was made of it: RoBERTa, DistilBERT, MPNet.

Devlin, Chang, Lee, Toutanova (2019), "BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding". A token's input is the sum of three vectors, normalised; a post-norm encoder follows; masked words are
predicted by the word table itself (section 3):

    x_t = LayerNorm(E_word[t] + E_position[t] + E_type[t])
    h   = Encoder(x)
    p(word at t) = softmax(E_word LayerNorm(f(h_t W + c)) + b)

What the others change: RoBERTa (Liu et al. 2019) and MPNet (Song et al. 2020) count positions from 2; DistilBERT (Sanh
et al. 2019) and MPNet have no types; MPNet adds to each attention score a learnt bias by the distance of the tokens.

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
from embeddings.models.layers import ACTIVATIONS, Linear, Norm, distance_bias, normal, scores
from embeddings.models.transformer import Output

Params = Any
"""{"words", "positions", "types", "distances": tables; "norm"; "transformer"; "pooler"; "predictions"}; see `init`."""

_EMBEDDING, _LAYERS = 0, 1
"""Where something is dropped."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a model; the defaults are BERT-base."""

    vocabulary: int = 30522
    """V."""
    positions: int = 512
    """Rows of the position table."""
    first_position: int = 0
    """Row of a text's first token."""
    types: int = 2
    """Rows of the type table; 0 for none."""
    buckets: int = 0
    """Buckets of distances that attention has a bias by; 0 for none."""
    pooler: bool = True
    """Whether there is a map of the first token's state, trained to tell whether two sentences follow one another."""
    predictions: bool = True
    """Whether there is a head that predicts words."""
    stack: transformer.Config = transformer.Config()
    is_transformer: ClassVar[bool] = True
    """Whether it has attention, and the formats of Transformers."""

    @property
    def longest(self) -> int:
        """Tokens of a text, at most."""
        return self.positions - self.first_position


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Tables and kernels normal with the config's deviation, biases 0, norms 1."""
    c, t = config, config.stack
    keys = iter(jax.random.split(key, 8))

    def table(rows: int) -> Array:
        return normal(next(keys), (rows, t.width), t.deviation)

    def norm() -> Params:
        return {"scale": jnp.ones(t.width), "bias": jnp.zeros(t.width)}

    def linear() -> Params:
        return {"kernel": table(t.width), "bias": jnp.zeros(t.width)}

    params = {"words": table(c.vocabulary), "positions": table(c.positions), "norm": norm()}
    if c.types:
        params["types"] = table(c.types)
    if c.buckets:
        params["distances"] = normal(next(keys), (c.buckets, t.heads), t.deviation)
    if c.pooler:
        params["pooler"] = linear()
    if c.predictions:
        params["predictions"] = {"transform": linear(), "norm": norm(), "bias": jnp.zeros(c.vocabulary)}
    return params | {"transformer": transformer.init(next(keys), t)}


def embed(
    params: Params, config: Config, batch: Tokens, keys: Keys | None = None
) -> Float[Array, "B T D"]:
    """x: what goes into the first layer."""
    t = config.stack
    x = params["words"][batch.ids] + params["positions"][batch.positions + config.first_position]
    if config.types:
        x = x + params["types"][batch.types]
    x = Norm(t.width, t.epsilon).apply({"params": params["norm"]}, x)
    return dropped(x, t.dropout, keys)


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
    bias = distance_bias(params["distances"], batch.ids.shape[1]) if config.buckets else None
    return transformer.apply(
        params["transformer"], config.stack, x, batch.segments,
        bias=bias, head_mask=head_mask, frozen=frozen, key=fold(keys, _LAYERS), outputs=outputs,
    )


def pooled(params: Params, config: Config, first: Float[Array, "B D"]) -> Float[Array, "B D"]:
    """tanh(h_1 W + b) of the first token's state: what next-sentence prediction was trained on."""
    width = (config.stack.width,)
    return jnp.tanh(Linear(width, width).apply({"params": params["pooler"]}, first))


def logits(params: Params, config: Config, states: Float[Array, "P D"]) -> Float[Array, "P V"]:
    """Scores of all words in the places of some states; their softmax is p."""
    t, head = config.stack, params["predictions"]
    dtype = jnp.dtype(t.dtype)
    y = Linear((t.width,), (t.width,), dtype=dtype).apply({"params": head["transform"]}, states)
    y = Norm(t.width, t.epsilon).apply({"params": head["norm"]}, ACTIVATIONS[t.activation](y))
    return scores(y, params["words"], dtype) + head["bias"]
