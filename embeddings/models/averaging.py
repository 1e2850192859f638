"""The deep averaging network: vectors of words and of pairs of neighbours, averaged, then layers.

Iyyer, Manjunatha, Boyd-Graber, Daume (2015), "Deep Unordered Composition Rivals Syntactic Methods for Text
Classification"; with pairs of words, averaged by sqrt(n), it is the second of the Universal Sentence Encoder's two
encoders (Cer et al. 2018, section 3.2):

    h_t = a[w_t] + b[hash(w_t, w_t+1)]        u = layers(sum_t h_t / sqrt(n))

This page gives the h_t, as the Transformer's gives its states; pooling and layers are sentence_bert's. Pairs share rows
by a hash, as fastText's n-grams do; no pair crosses the end of a text.

Shapes: B rows, T positions, D width, V vocabulary.
"""
import dataclasses
from collections.abc import Collection
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from embeddings.inputs.sequences import Tokens
from embeddings.models import transformer
from embeddings.models.dropout import Keys, row_keys
from embeddings.models.dropout import kept as kept_rows
from embeddings.models.transformer import Output

Params = Any
"""{"words": [V, D], "pairs": [buckets, D] where there are some}."""
_FACTORS = 0x9E3779B1, 0x85EBCA77


@dataclasses.dataclass(frozen=True)
class Config:
    """What defines a model."""

    vocabulary: int
    """V."""
    width: int = 300
    """D."""
    buckets: int = 100_000
    """Rows that pairs of neighbours share; 0 where pairs have none, and a state is the word's own vector."""
    longest: int = 512
    """Tokens of a text that are read."""
    dropout: float = 0.0
    """Share of words that are dropped whole in training (Iyyer et al.'s word dropout)."""
    sublinear: bool = False
    """Whether a word that stands n times in a text counts sqrt(n) times, as retrieval damps term frequencies."""
    is_transformer: ClassVar[bool] = False
    """Whether it has attention, and the formats of Transformers."""

    @property
    def stack(self) -> transformer.Config:
        """A stack of no layers, for those who ask how wide states are."""
        return transformer.Config(layers=0, width=self.width, heads=1, head_width=self.width)

    def retrained(self, dropout: float, dtype: str) -> "Config":
        """The configuration with what training sets; means take no products, in whatever type."""
        return dataclasses.replace(self, dropout=dropout)


def init(key: PRNGKeyArray, config: Config) -> Params:
    """Both tables uniform in (-1/2, 1/2) / sqrt(D)."""
    first, second = jax.random.split(key)
    half = 0.5 * config.width**-0.5
    shapes = (config.vocabulary, config.width), (config.buckets, config.width)
    each = zip(("words", "pairs"), (first, second), shapes, strict=True)
    return {name: jax.random.uniform(k, shape, minval=-half, maxval=half) for name, k, shape in each if shape[0]}


def buckets(batch: Tokens, number: int) -> Int[Array, "B T"]:
    """The row of each token's pair with the next one, -1 where the text ends."""
    following = jnp.roll(batch.ids, -1, axis=1)
    same = (jnp.roll(batch.segments, -1, axis=1) == batch.segments) & (batch.segments > 0)
    same = same.at[:, -1].set(False)
    one, two = (ids.astype(jnp.uint32) * jnp.uint32(f) for ids, f in zip((batch.ids, following), _FACTORS, strict=True))
    mixed = one ^ two
    mixed = (mixed ^ mixed >> 15) * jnp.uint32(_FACTORS[0])
    return jnp.where(same, (mixed % jnp.uint32(number)).astype(jnp.int32), -1)


def times(batch: Tokens) -> Int[Array, "B T"]:
    """How often each token stands in its own text; 0 for padding."""
    same = (batch.ids[:, :, None] == batch.ids[:, None, :]) & (batch.segments[:, :, None] == batch.segments[:, None, :])
    return jnp.where(batch.segments > 0, same.sum(axis=2), 0)


def apply(
    params: Params,
    config: Config,
    batch: Tokens,
    *,
    head_mask: None = None,
    frozen: int = 0,
    key: PRNGKeyArray | Keys | None = None,
    outputs: Collection[str] = frozenset(),
) -> Output:
    """h of all tokens; there are no heads to mask and no layers to freeze."""
    hidden = params["words"][batch.ids]
    if config.buckets:
        pair = buckets(batch, config.buckets)
        hidden = hidden + jnp.where((pair >= 0)[..., None], params["pairs"][jnp.maximum(pair, 0)], 0.0)
    if config.sublinear:
        hidden = hidden * jax.lax.rsqrt(jnp.maximum(times(batch), 1).astype(hidden.dtype))[..., None]
    if key is not None and config.dropout:
        keys = row_keys(key, len(batch.ids))
        keep = jax.vmap(lambda k: kept_rows(k, config.dropout, batch.ids.shape[1:]))(keys)
        hidden = jnp.where(keep[..., None], hidden, 0.0)
    return Output(hidden)
