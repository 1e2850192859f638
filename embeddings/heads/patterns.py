"""What heads look at (Clark, Khandelwal, Levy, Manning 2019, "What Does BERT Look At?", sections 3 and 6).

With a_ts the weight that token t gives to token s of its text, means over tokens t (special ones too) of

    entropy        -sum_s a_ts ln a_ts                     in nats
    distance       sum_s a_ts |s - t|                      in tokens
    special        sum of a_ts over special tokens s, as [CLS] and [SEP]
    punctuation    sum of a_ts over tokens s without a letter or digit that are not special
    previous       a_t,t-1, of tokens that have one before
    next           a_t,t+1, of tokens that have one after
    self           a_tt

Two heads are as far apart as the mean over tokens of the Jensen-Shannon divergence of what they give (section 6). Its
root is a Euclidean distance, so that clusters are Ward's.

Shapes: B rows, T positions, L layers, H heads, G heads of all layers, C clusters.
"""
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from embeddings.contextual.model import Contextual
from embeddings.contextual.removal import heads
from embeddings.inputs.sequences import Tokens
from embeddings.models.transformer import ATTENTION

NAMES = ("entropy", "distance", "special", "punctuation", "previous", "next", "self")


class Patterns(NamedTuple):
    """Of all heads, layer by layer."""

    places: tuple[tuple[int, int], ...]
    """Layer and head, heads numbered as before any was pruned."""
    values: Float[np.ndarray, "G 7"]
    """Means, as NAMES."""
    divergence: Float[np.ndarray, "G G"]
    """How far heads are apart, 0 to ln 2."""
    tokens: int
    """What the means are over."""


def measured(
    model: Contextual, texts: Sequence[Any], report: Callable[[int], None] | None = None
) -> Patterns:
    """The patterns of all heads on some texts, or pairs; `report` is told how many texts are done."""
    read = model.read(texts)
    special, dots = kinds(model)
    sums = {"values": 0.0, "counts": 0.0, "divergence": 0.0}
    call, done = _program(model), 0
    for packed in model.packer().calls(read.ids, read.types, read.starts):
        ids = packed.tokens.ids
        found = call(model.placed[0], packed.tokens, special[ids], dots[ids])
        sums = {name: sums[name] + np.asarray(value, np.float64) for name, value in zip(sums, found, strict=True)}
        done += int((packed.texts >= 0).sum())
        if report:
            report(done)
    places = tuple((layer, head) for layer, some in enumerate(heads(model)) for head in some)
    tokens = int(sums["counts"][0])
    return Patterns(places, sums["values"] / sums["counts"], sums["divergence"] / tokens, tokens)


def kinds(model: Contextual) -> tuple[Bool[np.ndarray, "V"], Bool[np.ndarray, "V"]]:
    """Which tokens are special, and which are punctuation."""
    names = set(model.tokenizer.names.values())
    special = np.array([token in names for token in model.tokenizer.tokens])
    dots = np.array([not any(map(str.isalnum, token)) for token in model.tokenizer.tokens])
    return special, dots & ~special


def _program(model: Contextual) -> Callable[..., tuple[Array, Array, Array]]:
    """(parameters, tokens, special, punctuation) -> sums [G, 7], what they are over [7], sums of divergence [G, G]."""

    def apply(params: dict, tokens: Tokens, special: Array, dots: Array) -> tuple[Array, Array, Array]:
        a = model.module.apply(params, model.config, tokens, outputs={ATTENTION}).attention
        layers = a if isinstance(a, tuple) else tuple(a)
        a = jnp.concatenate([jnp.moveaxis(layer, 1, 0) for layer in layers])
        there = tokens.segments > 0
        values, counts = sums(a, tokens, special, dots)
        return values, counts, divergences(a, there)

    return jax.jit(apply)


def sums(
    a: Float[Array, "G B T T"], tokens: Tokens, special: Bool[Array, "B T"], dots: Bool[Array, "B T"]
) -> tuple[Float[Array, "G 7"], Float[Array, "7"]]:
    """Sums over tokens, and how many each is over."""
    segments, T = tokens.segments, tokens.segments.shape[1]
    there = segments > 0
    place = jnp.arange(T)
    far = jnp.abs(place[:, None] - place[None, :]).astype(a.dtype)
    each = jnp.einsum("gbts,bt->gbts", a, there.astype(a.dtype))
    same = segments[:, 1:] == segments[:, :-1]
    pairs = (there[:, 1:] & same).astype(a.dtype)
    before = jnp.diagonal(a, offset=-1, axis1=2, axis2=3)
    after = jnp.diagonal(a, offset=1, axis1=2, axis2=3)
    found = (
        jnp.sum(_entropy(each), axis=(1, 2)),
        jnp.einsum("gbts,ts->g", each, far),
        jnp.einsum("gbts,bs->g", each, special.astype(a.dtype)),
        jnp.einsum("gbts,bs->g", each, dots.astype(a.dtype)),
        jnp.einsum("gbt,bt->g", before, pairs),
        jnp.einsum("gbt,bt->g", after, pairs),
        jnp.einsum("gbtt->g", each),
    )
    n, two = jnp.sum(there), jnp.sum(pairs)
    return jnp.stack(found, axis=1), jnp.stack([n, n, n, n, two, two, n]).astype(a.dtype)


def _entropy(a: Float[Array, "... T"]) -> Float[Array, "..."]:
    return -jnp.sum(a * jnp.log(jnp.where(a > 0, a, 1)), axis=-1)


def divergences(a: Float[Array, "G B T T"], there: Bool[Array, "B T"]) -> Float[Array, "G G"]:
    """Sums over tokens of JS(p, q) = H((p + q) / 2) - (H(p) + H(q)) / 2."""
    own = jnp.sum(_entropy(a) * there, axis=(1, 2))

    def one(mine: Float[Array, "B T T"]) -> Float[Array, "G"]:
        return jax.lax.map(lambda other: jnp.sum(_entropy((mine + other) / 2) * there), a)

    return jax.lax.map(one, a) - (own[:, None] + own[None, :]) / 2


def clusters(divergence: Float[np.ndarray, "G G"], number: int) -> Int[np.ndarray, "G"]:
    """Which of so many clusters each head is in, from 1, numbered as they first come."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    apart = np.sqrt(np.maximum(divergence, 0))
    apart = (apart + apart.T) / 2
    np.fill_diagonal(apart, 0)
    found = fcluster(linkage(squareform(apart), "ward"), number, "maxclust")
    _, first, which = np.unique(found, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which] + 1


def flat(divergence: Float[np.ndarray, "G G"]) -> Float[np.ndarray, "G 2"]:
    """Places in a plane, about as far apart as the heads are: classical scaling (Torgerson 1952) of sqrt(JS)."""
    squares = np.maximum((divergence + divergence.T) / 2, 0)
    np.fill_diagonal(squares, 0)
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    found = vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))
    return found * np.where(found[np.argmax(np.abs(found), axis=0), range(found.shape[1])] < 0, -1, 1)
