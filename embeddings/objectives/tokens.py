"""Losses over the tokens of texts, by their states h_1 .. h_n:

    tags     - sum_i log softmax(W h_i)[y_i]                     a class y_i for each word, told by its first token
    spans    - 1/2 (log softmax_i(w_s h_i)[s] + log softmax_i(w_e h_i)[e])
                                                                 where an answer starts and ends, among all tokens of a
                                                                 text; the first one stands for "not in here"

Devlin et al. 2019, sections 5.3 and 4.2 (its heads have a dropout of their own, these have none). A mark is what is
known of a token; 0 is nothing. Rows hold several texts each.

Shapes: B rows, T positions, S texts of a row, D width of a state, Y classes.
"""
import dataclasses
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from embeddings.inputs.packing import slots
from embeddings.inputs.sequences import Tokens
from embeddings.models import linear

Sums = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]
"""Each quantity as (sum, weight): sums add up over chunks, devices and steps; means do not."""
START, END = 1, 2
"""Marks of the first and the last token of an answer; their sum where it is one token, or where there is none."""
_NEVER = -1e30


@runtime_checkable
class Loss(Protocol):
    """What a training step asks of a loss."""

    def init(self, key: PRNGKeyArray, width: int) -> Any:
        """Its parameters, for states of a width."""

    def loss(self, params: Any, states: Float[Array, "B T D"], tokens: Tokens, marks: Int[Array, "B T"]) -> Sums:
        """Sums over what is marked."""


@dataclasses.dataclass(frozen=True)
class Tags:
    """A class for each marked token; a mark is the class's number and 1."""

    classes: int
    """Y."""

    def init(self, key: PRNGKeyArray, width: int) -> Any:
        """W and a bias."""
        return linear.init(key, width, self.classes)

    def loss(self, params: Any, states: Float[Array, "B T D"], tokens: Tokens, marks: Int[Array, "B T"]) -> Sums:
        """Cross-entropy, and how often the likeliest class was right."""
        s = linear.apply(params, states)
        of_class = jnp.take_along_axis(s, jnp.maximum(marks - 1, 0)[..., None], axis=-1)[..., 0]
        weight = (marks > 0).astype(s.dtype)
        number = jnp.sum(weight)
        right = jnp.sum(weight * (of_class >= jnp.max(s, axis=-1)))
        return {"loss": (jnp.sum(weight * (jax.nn.logsumexp(s, axis=-1) - of_class)), number),
                "accuracy": (right, number)}


@dataclasses.dataclass(frozen=True)
class Spans:
    """The start and the end of an answer, each among the tokens of its text."""

    def init(self, key: PRNGKeyArray, width: int) -> Any:
        """w_s and w_e side by side; a bias would add the same to all tokens, which a softmax does not see."""
        return {"kernel": linear.glorot(key, width, 2)}

    def loss(self, params: Any, states: Float[Array, "B T D"], tokens: Tokens, marks: Int[Array, "B T"]) -> Sums:
        """Cross-entropy over texts, and how often the likeliest start, or end, was right."""
        s = linear.apply(params, states)
        numbers = jnp.arange(1, slots(marks.shape[1]) + 1)
        mine = (tokens.segments[:, None, :] == numbers[None, :, None])[..., None]
        there = jnp.any(mine, axis=2)
        each = jnp.where(mine, s[:, None], _NEVER)
        all_of = jnp.where(there, jax.nn.logsumexp(each, axis=2), 0.0)
        chosen = jnp.stack([marks & START, marks & END], axis=-1) > 0
        right = jnp.where(chosen, s, 0.0)
        largest = jnp.max(each, axis=2)
        hit = jnp.sum(jnp.any((each >= largest[:, :, None]) & chosen[:, None] & mine, axis=2))
        number = jnp.sum(there).astype(s.dtype)
        return {"loss": (0.5 * (jnp.sum(all_of) - jnp.sum(right)), number),
                "accuracy": (0.5 * hit, number)}
